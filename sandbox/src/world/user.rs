//! A person or a bot, whatever guilds they are in.

use serde::Serialize;

use super::id::Id;

/// A Discord account.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) username: String,
    pub(crate) global_name: Option<String>,
    pub(crate) bot: bool,
}

/// A user object as it stands in every payload.
///
/// <https://discord.com/developers/docs/resources/user#user-object>
#[derive(Serialize)]
pub(crate) struct UserPayload<'a> {
    id: Id,
    username: &'a str,
    global_name: Option<&'a str>,
    discriminator: &'static str,
    avatar: String,
    avatar_decoration_data: Option<()>,
    #[serde(skip_serializing_if = "is_false")]
    bot: bool,
    public_flags: u32,
    flags: u32,
    banner: Option<()>,
    accent_color: Option<u32>,
    primary_guild: Option<()>,
    collectibles: Option<()>,
}

impl User {
    /// The hash that names this user's picture, 32 hexadecimal digits. Cheap, because a guild has 50,000 of them.
    pub(crate) fn avatar(&self) -> String {
        format!("{:016x}{:016x}", scramble(self.id.0), scramble(!self.id.0))
    }

    pub(crate) fn payload(&self) -> UserPayload<'_> {
        UserPayload {
            id: self.id,
            username: &self.username,
            global_name: self.global_name.as_deref(),
            // Bots still have one; people gave theirs up in 2023.
            discriminator: if self.bot { "0420" } else { "0" },
            avatar: self.avatar(),
            avatar_decoration_data: None,
            bot: self.bot,
            public_flags: 0,
            flags: 0,
            banner: None,
            accent_color: None,
            primary_guild: None,
            collectibles: None,
        }
    }
}

/// Numbers that are close become numbers that are not: the finalizer of SplitMix64.
///
/// <https://prng.di.unimi.it/splitmix64.c>
fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
