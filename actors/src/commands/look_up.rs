//! Members whom nobody has told of, asked for at Discord one by one.
//! <https://discord.com/developers/docs/resources/guild#get-guild-member>

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use reqwest::StatusCode;
use serenity::all::{LightMethod, Route};

use super::{
    Commands,
    rest::{Call, Hold},
};
use crate::questions::Lookup;

/// Members asked for at the same time.
const AT_ONCE: usize = 8;
/// Who is not found by then is asked for again with the next question.
const DEADLINE: Duration = Duration::from_secs(5);

/// What Discord said of members: their JSON, or that they are none. Of whom nothing is said here, nothing is known.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) members: Vec<(Lookup, Option<String>)>,
    hold: Option<Hold>,
}

impl Commands {
    /// Asks for members, until Discord has enough of it: whoever waits for them asks again.
    pub(crate) fn look_up(&self, lookups: BTreeSet<Lookup>) -> impl Future<Output = Found> + use<> {
        let now = Instant::now();
        let calls = lookups.into_iter().filter_map(|lookup| Some((lookup, call(lookup)?)));
        let calls: Vec<_> = calls.filter(|(_, call)| self.holds.check(call, now).is_ok()).collect();
        let rest = self.rest.clone();
        async move {
            let replies = stream::iter(calls)
                .map(|(lookup, call)| rest.send(call).map(move |reply| (lookup, reply)))
                .buffer_unordered(AT_ONCE)
                .take_until(tokio::time::sleep(DEADLINE));
            let mut replies = std::pin::pin!(replies);
            let mut found = Found::default();
            while let Some((lookup, reply)) = replies.next().await {
                match (reply.outcome, reply.status) {
                    (Ok(member), _) => found.members.push((lookup, Some(member.get().to_owned()))),
                    (Err(_), Some(StatusCode::NOT_FOUND)) => found.members.push((lookup, None)),
                    (Err(refusal), _) => {
                        let why = refusal.message;
                        log::warn!("[Gateway Service] Member {} could not be looked up: {why}", lookup.user);
                    }
                }
                if reply.hold.is_some() {
                    found.hold = reply.hold;
                    break;
                }
            }
            found
        }
    }

    /// Heeds what Discord does not want to see for a while; the members are the caller's to learn.
    pub(crate) fn looked_up(&mut self, found: Found) -> Vec<(Lookup, Option<String>)> {
        if let Some(hold) = found.hold {
            self.holds.add(hold, Instant::now());
        }
        found.members
    }
}

/// `None` for the id 0, which nobody has, and at which serenity panics.
fn call(Lookup { guild, user }: Lookup) -> Option<Call> {
    let (guild, user) = (NonZeroU64::new(guild.0)?, NonZeroU64::new(user.0)?);
    let route = Route::GuildMember { guild_id: guild.into(), user_id: user.into() };
    Some(Call::new(LightMethod::Get, route))
}
