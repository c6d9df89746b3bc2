//! A person or a bot, whatever guilds they are in.

use serde::Serialize;
use sha2::{Digest, Sha256};

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
    /// The hash that names this user's picture, 32 hexadecimal digits.
    pub(crate) fn avatar(&self) -> String {
        let digest = Sha256::digest(self.id.to_string());
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
