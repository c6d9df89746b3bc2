//! Members of a guild.
//!
//! <https://discord.com/developers/docs/resources/guild#get-guild-member>

use actix_web::{HttpResponse, web};

use super::{access::Access, caller::Bot, error::ApiError};
use crate::{discord::Discord, world::id::Id};

pub(crate) async fn get(
    _: Bot,
    path: web::Path<(Id, Id)>,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ApiError> {
    let (guild, user) = path.into_inner();
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(guild)?;
        let account = inner.world.users.get(&user).ok_or(ApiError::UNKNOWN_USER)?;
        let member = guild.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
        Ok(HttpResponse::Ok().json(member.with_user(account)))
    })
}
