//! Finding what a call is about, and whether the bot may do it.

use super::error::ApiError;
use crate::world::{
    World,
    guild::{Channel, Guild},
    id::Id,
    permissions::Permissions,
};

/// The bot's view of a world: lookups fail the way Discord's do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) world: &'a World,
}

impl<'a> Access<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        Self { world }
    }

    /// A guild that the bot is in. Discord calls all others unknown.
    pub(crate) fn guild(self, id: Id) -> Result<&'a Guild, ApiError> {
        let guild = self.world.guilds.get(&id).ok_or(ApiError::UNKNOWN_GUILD)?;
        guild
            .members
            .contains_key(&self.world.application.bot)
            .then_some(guild)
            .ok_or(ApiError::MISSING_ACCESS)
    }

    /// A guild in which the bot may do `needed`.
    pub(crate) fn guild_with(self, id: Id, needed: Permissions) -> Result<&'a Guild, ApiError> {
        let guild = self.guild(id)?;
        let granted = self.world.permissions_of(self.world.application.bot, id);
        granted.contains(needed).then_some(guild).ok_or(ApiError::MISSING_PERMISSIONS)
    }

    /// A channel that the bot can see.
    pub(crate) fn channel(self, id: Id) -> Result<(&'a Guild, &'a Channel), ApiError> {
        let found = self.world.channel(id).ok_or(ApiError::UNKNOWN_CHANNEL)?;
        self.granted(id).contains(Permissions::VIEW_CHANNEL).then_some(found).ok_or(ApiError::MISSING_ACCESS)
    }

    /// A channel in which the bot may do `needed`.
    pub(crate) fn channel_with(
        self,
        id: Id,
        needed: Permissions,
    ) -> Result<(&'a Guild, &'a Channel), ApiError> {
        let found = self.channel(id)?;
        self.granted(id).contains(needed).then_some(found).ok_or(ApiError::MISSING_PERMISSIONS)
    }

    /// What the bot may do in a channel.
    pub(crate) fn granted(self, channel: Id) -> Permissions {
        self.world.permissions_in(self.world.application.bot, channel)
    }

    /// True when the bot's highest role stands above a position.
    pub(crate) fn outranks(self, guild: &Guild, position: u32) -> bool {
        guild.rank(self.world.application.bot) > position
    }

    /// Refuses what only a higher role may do to a member.
    pub(crate) fn above(self, guild: &Guild, user: Id) -> Result<(), ApiError> {
        self.outranks(guild, guild.rank(user)).then_some(()).ok_or(ApiError::MISSING_PERMISSIONS)
    }
}
