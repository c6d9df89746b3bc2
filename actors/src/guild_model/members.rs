//! Who is a member of a guild, as far as was heard: bounded, because a guild may have millions.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    dispatch_facts::MemberFacts,
    snowflake::{RoleId, UserId},
};

/// How many users a guild is remembered for. Those heard of longest ago are forgotten first, and looked up again
/// when they matter; those who sit in voice are kept.
pub const MEMBERS_KEPT: usize = 100_000;

/// What is known of the users of a guild.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Members {
    heard_of: HashMap<UserId, Entry>,
    /// Counts what was heard, to tell old from new.
    clock: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// `None`: not a member; they left, or Discord said so when asked.
    member: Option<Member>,
    heard_at: u64,
}

/// What of a member decides their permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) roles: Vec<RoleId>,
    /// Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timed_out_until: Option<i64>,
    /// Has yet to accept the guild's rules, and may do nothing until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) pending: bool,
}

/// How a user stands to a guild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    Member(&'a Member),
    Absent,
    Unseen,
}

impl Member {
    /// A member without roles.
    pub(super) const fn new() -> Self {
        Self { roles: Vec::new(), timed_out_until: None, pending: false }
    }
}

impl From<&MemberFacts<'_>> for Member {
    fn from(facts: &MemberFacts<'_>) -> Self {
        // In one order, so that the same roles in another are no change.
        let mut roles = facts.roles.clone();
        roles.sort_unstable();
        Self { roles, timed_out_until: facts.timed_out_until, pending: facts.pending }
    }
}

impl Members {
    pub(super) fn standing(&self, user: UserId) -> Standing<'_> {
        match self.heard_of.get(&user) {
            Some(Entry { member: Some(member), .. }) => Standing::Member(member),
            Some(Entry { member: None, .. }) => Standing::Absent,
            None => Standing::Unseen,
        }
    }

    /// Notes that `user` is this member, or none. Users for whom `keep` holds are not forgotten for it.
    pub(super) fn hear(&mut self, user: UserId, member: Option<Member>, keep: impl Fn(UserId) -> bool) {
        self.hear_within(MEMBERS_KEPT, user, member, keep);
    }

    fn hear_within(
        &mut self,
        limit: usize,
        user: UserId,
        member: Option<Member>,
        keep: impl Fn(UserId) -> bool,
    ) {
        self.clock += 1;
        self.heard_of.insert(user, Entry { member, heard_at: self.clock });
        if self.heard_of.len() > limit {
            self.forget_oldest(limit / 8 + 1, keep);
        }
    }

    /// Forgets many at once, so that a full map is searched once in as many insertions.
    fn forget_oldest(&mut self, count: usize, keep: impl Fn(UserId) -> bool) {
        let mut ages: Vec<_> = self
            .heard_of
            .iter()
            .filter(|(user, _)| !keep(**user))
            .map(|(user, entry)| (entry.heard_at, *user))
            .collect();
        ages.sort_unstable();
        for (_, user) in ages.into_iter().take(count) {
            self.heard_of.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_those_heard_of_longest_ago_and_keeps_those_in_voice() {
        let mut members = Members::default();
        let in_voice = |user: UserId| user.0 < 3;
        for user in 0..1_000 {
            members.hear_within(16, UserId(user), Some(Member::new()), in_voice);
            assert!(members.heard_of.len() <= 16, "{} kept", members.heard_of.len());
        }
        for kept in [0, 1, 2, 999, 998, 990] {
            assert_eq!(members.standing(UserId(kept)), Standing::Member(&Member::new()), "user {kept}");
        }
        assert_eq!(members.standing(UserId(900)), Standing::Unseen);
    }

    #[test]
    fn hearing_of_someone_again_makes_them_young() {
        let mut members = Members::default();
        for user in 0..100 {
            members.hear_within(16, UserId(7), None, |_| false);
            members.hear_within(16, UserId(100 + user), None, |_| false);
        }
        assert_eq!(members.standing(UserId(7)), Standing::Absent);
    }
}
