//! The promise of delivery as a property: whatever goes wrong, in whatever order, a stream gets everything once and in
//! order, or hears RESYNC. Everything from a dispatch to a browser's frames is real but the sockets: LinkServer with
//! its event log, the link's frames, LinkClient, SseBroker. The clock is paused, so that nobody waits.

mod browser;
mod discord;
mod rig;
mod truth;

use std::time::Duration;

use proptest::prelude::*;

use self::rig::{Remains, Rig};

/// Something happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Talk {
        channel: u64,
        times: usize,
    },
    Go {
        user: u64,
        channel: Option<u64>,
    },
    TurnTheKey,
    Whisper {
        times: usize,
    },
    Shout,
    Resume {
        again: usize,
    },
    LeaveOut,
    NewSession,
    CutLink,
    HoldLink(bool),
    KillGateway(Remains),
    StopGateway,
    StartGateway,
    KillWeb,
    StartWeb,
    Leave(usize),
    /// Leaves, and knows nothing when it comes again.
    Forget(usize),
    Come(usize),
    Stall(usize),
    /// Comes back to much that was missed, and does not read it.
    Lag(usize),
    Read(usize),
    Wait {
        seconds: u64,
    },
}

/// Steps after which everything can still be had.
fn gentle() -> impl Strategy<Value = Step> {
    let browser = 0..4usize;
    prop_oneof![
        6 => (prop_oneof![Just(101), Just(102)], 1..6usize).prop_map(|(channel, times)| Step::Talk { channel, times }),
        4 => (50..53u64, prop::option::weighted(0.7, 201..203u64))
            .prop_map(|(user, channel)| Step::Go { user, channel }),
        1 => Just(Step::TurnTheKey),
        2 => (1..20usize).prop_map(|times| Step::Whisper { times }),
        2 => (0..8usize).prop_map(|again| Step::Resume { again }),
        2 => Just(Step::CutLink),
        1 => Just(Step::HoldLink(true)),
        4 => Just(Step::HoldLink(false)),
        1 => prop_oneof![Just(Remains::All), Just(Remains::AndATornRecord)].prop_map(Step::KillGateway),
        1 => Just(Step::StopGateway),
        8 => Just(Step::StartGateway),
        1 => Just(Step::KillWeb),
        8 => Just(Step::StartWeb),
        3 => browser.clone().prop_map(Step::Leave),
        2 => browser.clone().prop_map(Step::Forget),
        8 => browser.clone().prop_map(Step::Come),
        2 => browser.clone().prop_map(Step::Stall),
        2 => browser.clone().prop_map(Step::Lag),
        2 => browser.prop_map(Step::Read),
        2 => (0..20u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// Any step: some leave a hole.
fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => gentle(),
        6 => (20..60usize).prop_map(|times| Step::Whisper { times }),
        1 => Just(Step::LeaveOut),
        1 => Just(Step::NewSession),
        1 => (1..2000usize).prop_map(Remains::Cut).prop_map(Step::KillGateway),
        1 => Just(Step::KillGateway(Remains::Nothing)),
    ]
}

/// Steps, each with whether all that it causes happens before the next one.
fn steps(step: impl Strategy<Value = Step>) -> impl Strategy<Value = Vec<(Step, bool)>> {
    prop::collection::vec((step, prop::bool::weighted(0.7)), 1..60)
}

async fn take(rig: &mut Rig, step: Step) -> Result<(), String> {
    match step {
        Step::Talk { channel, times } => (0..times).for_each(|_| rig.discord.talk(channel)),
        Step::Go { user, channel: None } if !rig.discord.voice.contains_key(&user) => {}
        Step::Go { user, channel } => rig.discord.go(user, channel),
        Step::TurnTheKey => rig.discord.turn_the_key(),
        Step::Whisper { times } => (0..times).for_each(|_| rig.discord.whisper()),
        Step::Shout => rig.discord.shout(),
        Step::Resume { again } => rig.resume(again),
        Step::LeaveOut => rig.discord.leave_out(),
        Step::NewSession => rig.new_session(),
        Step::CutLink => rig.cut_link(),
        Step::HoldLink(hold) => rig.hold_link(hold),
        Step::KillGateway(remains) => rig.kill_gateway(remains).await,
        Step::StopGateway => rig.stop_gateway().await,
        Step::StartGateway => rig.start_gateway().await,
        Step::KillWeb => rig.kill_web().await,
        Step::StartWeb => rig.start_web(),
        Step::Leave(browser) => rig.browsers[browser].leave(),
        Step::Forget(browser) => rig.browsers[browser].forget(),
        Step::Come(browser) => rig.come(browser).await,
        Step::Stall(browser) => rig.browsers[browser].stall(true),
        Step::Lag(browser) => {
            rig.browsers[browser].leave();
            rig.browsers[browser].stall(true);
            for _ in 0..6 {
                (0..5).for_each(|_| rig.discord.talk(102));
                rig.publish().await;
                rig.settle().await?;
            }
            rig.come(browser).await;
        }
        Step::Read(browser) => rig.browsers[browser].stall(false),
        Step::Wait { seconds } => tokio::time::sleep(Duration::from_secs(seconds)).await,
    }
    rig.publish().await;
    Ok(())
}

/// Takes the steps, then lets everything recover; how often a browser heard RESYNC.
fn run(events: usize, steps: &[(Step, bool)]) -> Result<usize, TestCaseError> {
    actix::System::new().block_on(async {
        tokio::time::pause();
        let mut rig = Rig::new(events);
        let outcome = async {
            rig.start_web();
            rig.start_gateway().await;
            rig.publish().await;
            for browser in 0..4 {
                rig.come(browser).await;
            }
            for (step, settle) in steps {
                take(&mut rig, *step).await?;
                if *settle {
                    rig.settle().await?;
                }
            }
            rig.heal().await
        };
        let outcome: Result<(), String> = outcome.await;
        rig.kill_web().await;
        rig.kill_gateway(Remains::All).await;
        outcome.map_err(TestCaseError::fail)?;
        Ok(rig.resyncs)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_disordered_while_it_can_be_had(steps in steps(gentle())) {
        prop_assert_eq!(run(100_000, &steps)?, 0, "a RESYNC that was not needed");
    }

    #[test]
    fn what_is_lost_is_announced_once_and_followed_by_a_snapshot(steps in steps(any_step())) {
        run(40, &steps)?;
    }
}

#[test]
fn an_event_that_is_too_large_is_announced_once() {
    let steps = [Step::Talk { channel: 101, times: 3 }, Step::Shout, Step::Talk { channel: 102, times: 3 }];
    let gone = [Step::Leave(0), Step::KillWeb, Step::Shout, Step::StartWeb, Step::Come(0)];
    let steps: Vec<_> = steps.into_iter().chain(gone).map(|step| (step, true)).collect();
    // Of the first everyone hears while it comes, of the second when they come back.
    assert_eq!(run(40, &steps).unwrap(), 8);
}

#[test]
fn a_reader_that_the_ring_has_left_behind_is_told_so_once() {
    let steps = [Step::Lag(0), Step::Whisper { times: 60 }, Step::Read(0)];
    let steps: Vec<_> = steps.into_iter().map(|step| (step, true)).collect();
    assert_eq!(run(40, &steps).unwrap(), 1);
}

/// It was admitted before the stop began.
#[test]
fn a_stream_that_comes_while_the_role_stops_is_sent_away_with_the_others() {
    actix::System::new().block_on(async {
        tokio::time::pause();
        let mut rig = Rig::new(40);
        rig.start_web();
        rig.come(0).await;
        let grace = Duration::from_secs(1);
        rig.stop_streams(grace).await;
        rig.come(1).await;
        tokio::time::sleep(grace).await;
        assert_eq!(rig.streams().await, 0);
    });
}

/// Answers overtake events: the web role hears answers of an epoch that it has not heard of.
#[test]
fn a_new_epoch_behind_a_slow_link_is_waited_for_and_not_asked_about_without_end() {
    let talk = Step::Talk { channel: 101, times: 1 };
    let back = [talk, Step::Leave(2), talk, Step::KillWeb, Step::StartWeb];
    let steps = back.into_iter().chain([Step::HoldLink(true), Step::LeaveOut, Step::Come(2)]);
    let steps: Vec<_> = steps.map(|step| (step, true)).collect();
    assert_eq!(run(40, &steps).unwrap(), 4);
}
