//! What a guild is called and holds: the answer to the link's `guild` question. It names private channels too, so that
//! it is never shown to a browser as it is.

use serde::{Deserialize, Serialize};

use crate::snowflake::{ChannelId, GuildId, RoleId};

/// A guild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuildInfo {
    /// The guild.
    pub id: GuildId,
    /// Its name; null when Discord never told of it.
    pub name: Option<String>,
    /// The absolute address of its picture, where it has one.
    pub icon: Option<String>,
    /// Its channels and categories by position, those with the same by id. Threads are not among them.
    pub channels: Vec<ChannelInfo>,
    /// Its roles by id, @everyone included.
    pub roles: Vec<RoleInfo>,
}

/// A channel or category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelInfo {
    /// The channel.
    pub id: ChannelId,
    /// Its name; null when it could not be read.
    pub name: Option<String>,
    /// Discord's [type](https://docs.discord.com/developers/resources/channel#channel-object-channel-types); null when it
    /// could not be read.
    #[serde(rename = "type")]
    pub kind: Option<u64>,
    /// Its category.
    pub parent_id: Option<ChannelId>,
    /// Where Discord shows it.
    pub position: i64,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleInfo {
    /// The role.
    pub id: RoleId,
    /// Its name.
    pub name: String,
}
