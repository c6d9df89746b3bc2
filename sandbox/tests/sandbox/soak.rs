//! Long runs: client libraries under steady traffic and faults, for `SOAK_S` seconds. `make soak` runs them.

use std::time::Duration;

use guildstream_sandbox::{Fault, SandboxConfig};
use tokio::time::{Instant, timeout, timeout_at};
use twilight_gateway::{Shard, ShardId};

use crate::{
    harness::{PATIENCE, Place, quiet},
    serenity::Bot,
    twilight,
};

/// How long a run lasts unless `SOAK_S` says otherwise, in seconds. Below 60 the faults come too close together.
const SOAK_S: f64 = 600.0;

/// What goes wrong, and after which part of the run. The long pauses are for the heartbeats: in them nothing else keeps
/// a client connected.
const FAULTS: [(f64, Fault); 9] = [
    (0.02, Fault::Drop {}),
    (0.04, Fault::Reconnect {}),
    (0.06, Fault::Close { code: 4000 }),
    (0.40, Fault::Heartbeat {}),
    (0.42, Fault::Close { code: 4000 }),
    (0.44, Fault::Drop {}),
    (0.46, Fault::Reconnect {}),
    (0.90, Fault::Drop {}),
    (0.95, Fault::Reconnect {}),
];

async fn lively() -> Place {
    Place::open(SandboxConfig { events_per_s: 5.0, ..quiet() }).await
}

/// Lets a client listen for the whole run, with faults. `listen` returns with each dispatch.
async fn soak(place: &Place, mut listen: impl AsyncFnMut()) {
    let length = std::env::var("SOAK_S").map_or(SOAK_S, |text| text.parse().expect("SOAK_S is in seconds"));
    let start = Instant::now();
    let moments = FAULTS.iter().map(|(part, fault)| (*part, Some(fault))).chain([(1.0, None)]);
    for (part, fault) in moments {
        let until = start + Duration::from_secs_f64(length * part);
        let mut latest = Instant::now();
        while timeout_at(until, listen()).await.is_ok() {
            latest = Instant::now();
        }
        assert!(latest.elapsed() < PATIENCE, "nothing was heard for {:?} before {fault:?}", latest.elapsed());
        if let Some(fault) = fault {
            place.sandbox.fault(fault).expect("a fault");
        }
    }
    let state = place.state();
    println!(
        "{:.0} s: {} dispatches, {} resumes, {} heartbeats",
        start.elapsed().as_secs_f64(),
        state["sessions"][0]["seq"],
        state["resumes"],
        state["heartbeats"]
    );
    assert_eq!(state["identifies"], 1, "it had to begin again");
    assert_eq!(state["resumes"], 8, "one for every fault that ends a connection");
}

fn last_seq(place: &Place) -> u64 {
    place.state()["sessions"][0]["seq"].as_u64().expect("one session")
}

#[actix_web::test]
#[ignore = "ten minutes: make soak"]
async fn twilight_misses_nothing_in_a_long_run() {
    let place = lively().await;
    let (mut shard, mut seq) = (Shard::with_config(ShardId::ONE, twilight::config(&place).build()), 0);
    soak(&place, async || {
        twilight::dispatch(&mut shard, &mut seq).await;
    })
    .await;
    let last = last_seq(&place);
    while seq < last {
        timeout(PATIENCE, twilight::dispatch(&mut shard, &mut seq)).await.expect("the rest");
    }
    place.close().await;
}

#[actix_web::test]
#[ignore = "ten minutes: make soak"]
async fn serenity_misses_nothing_in_a_long_run() {
    let place = lively().await;
    let mut bot = Bot::start(&place).await;
    soak(&place, async || {
        bot.event().await;
    })
    .await;
    // Its numbers are not shown, so that they are counted: as many as were sent, and never more.
    let last = last_seq(&place);
    while bot.heard < last {
        bot.event().await;
    }
    assert!(bot.heard <= last_seq(&place), "something came twice");
    bot.stop().await;
    place.close().await;
}
