//! JSON objects of Discord, read without trust: each value stays text until it is asked for, and is then read alone.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::snowflake::UserId;

/// The text of one value; `None` when it is missing or null.
pub(super) type Text<'a> = Option<&'a RawValue>;

macro_rules! keys {
    ($($key:ident)*) => {
        /// The keys that matter here, whichever object it is.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct Object<'a> {
            #[serde(borrow, rename = "type")]
            pub(super) kind: Text<'a>,
            #[serde(borrow, rename = "guildId")]
            pub(super) guild_id_of_derived: Text<'a>,
            $(#[serde(borrow)] pub(super) $key: Text<'a>,)*
        }
    };
}

keys! {
    id flags guild_id channel_id parent_id owner_id role_id user_id
    thread_metadata locked pending
    user member role guilds roles channels threads members not_found voice_states unavailable
    name icon position user_limit permission_overwrites permissions allow deny
    username global_name nick avatar communication_disabled_until
    self_mute self_deaf mute deaf self_video self_stream suppress
}

impl<'a> Object<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        // serde would also take an array for the fields in their order.
        if !text.trim_start().starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    pub(super) fn has_flag(&self, flag: u64) -> bool {
        read::<u64>(self.flags).is_some_and(|flags| flags & flag != 0)
    }

    pub(super) fn user_id_within(&self) -> Option<UserId> {
        read(nested(self.user?)?.id)
    }
}

pub(super) fn nested(text: &RawValue) -> Option<Object<'_>> {
    Object::parse(text.get())
}

pub(super) fn read<'a, T: Deserialize<'a>>(text: Text<'a>) -> Option<T> {
    serde_json::from_str(text?.get()).ok()
}

pub(super) fn texts<'a>(list: Text<'a>) -> impl Iterator<Item = &'a RawValue> {
    read::<Vec<&'a RawValue>>(list).unwrap_or_default().into_iter()
}

pub(super) fn objects<'a>(list: Text<'a>) -> impl Iterator<Item = Object<'a>> {
    texts(list).filter_map(nested)
}
