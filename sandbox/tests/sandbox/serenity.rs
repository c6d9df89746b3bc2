//! serenity's REST client against the sandbox: what it parses is what Discord would send.

use guildstream_sandbox::BOT_TOKEN;
use serenity::{
    all::{
        ChannelId, ChannelType, CreateChannel, CreateEmbed, CreateMessage, EditChannel, EditMember,
        EditMessage, EditRole, GetMessages, GuildId, ReactionType, RoleId, UserId,
    },
    http::{Http, HttpBuilder},
};

use crate::harness::{Place, quiet};

const GUILD: GuildId = GuildId::new(910_000_000_000_000_001);
const GENERAL: ChannelId = ChannelId::new(910_000_000_000_000_101);
const GRACE: UserId = UserId::new(930_000_000_000_000_002);
const LOUNGE: ChannelId = ChannelId::new(910_000_000_000_000_201);

fn http(place: &Place) -> Http {
    // Another test of this process may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpBuilder::new(BOT_TOKEN).proxy(place.sandbox.url()).ratelimiter_disabled(true).build()
}

#[actix_web::test]
async fn what_a_bot_asks_as_it_starts_parses() {
    let place = Place::open(quiet()).await;
    let http = http(&place);
    assert!(http.get_gateway().await.expect("gateway").url.starts_with("ws://127.0.0.1"));
    assert_eq!(http.get_bot_gateway().await.expect("gateway").session_start_limit.max_concurrency, 1);
    assert_eq!(http.get_current_user().await.expect("user").name, "guildstream");
    assert_eq!(
        http.get_current_application_info().await.expect("application").id.get(),
        1_000_000_000_000_000_001
    );
    place.close().await;
}

#[actix_web::test]
async fn messages_and_reactions_go_through_its_builders_and_types() {
    let place = Place::open(quiet()).await;
    let http = http(&place);
    let embed = CreateEmbed::new().title("t").description("d").field("n", "v", true);
    let message = CreateMessage::new().content("hello <@930000000000000002>").embed(embed);
    let message = GENERAL.send_message(&http, message).await.expect("a message");
    assert_eq!((message.mentions[0].id, message.embeds[0].title.as_deref()), (GRACE, Some("t")));
    let reply = message.reply(&http, "an answer").await.expect("a reply");
    assert_eq!(reply.referenced_message.map(|answered| answered.id), Some(message.id));
    let edited = GENERAL.edit_message(&http, message.id, EditMessage::new().content("changed")).await;
    assert_eq!(edited.expect("an edit").content, "changed");
    message.react(&http, ReactionType::Unicode("👍".to_owned())).await.expect("a reaction");
    let shown = GENERAL.message(&http, message.id).await.expect("the message");
    assert!(shown.reactions[0].me);
    assert!(GENERAL.messages(&http, GetMessages::new().limit(10)).await.expect("a page").len() >= 3);
    GENERAL.broadcast_typing(&http).await.expect("typing");
    message.delete(&http).await.expect("gone");
    assert!(GENERAL.message(&http, message.id).await.is_err());
    place.close().await;
}

#[actix_web::test]
async fn guild_channels_members_and_roles_parse() {
    let place = Place::open(quiet()).await;
    let http = http(&place);
    let guild = GUILD.to_partial_guild_with_counts(&http).await.expect("the guild");
    assert_eq!(guild.approximate_member_count, Some(25));
    assert_eq!(GUILD.channels(&http).await.expect("channels").len(), 11);
    assert_eq!(GUILD.roles(&http).await.expect("roles").len(), 3);
    assert_eq!(GUILD.members(&http, Some(1000), None).await.expect("members").len(), 25);
    assert_eq!(GUILD.search_members(&http, "gra", None).await.expect("members")[0].user.id, GRACE);
    let room = CreateChannel::new("Room").kind(ChannelType::Voice).user_limit(5);
    let mut room = GUILD.create_channel(&http, room).await.expect("a channel");
    room.edit(&http, EditChannel::new().name("Other room")).await.expect("an edit");
    assert_eq!(room.name, "Other room");
    place.sandbox.move_member("930000000000000002", Some(&LOUNGE.to_string())).expect("moved");
    GUILD.move_member(&http, GRACE, room.id).await.expect("moved");
    room.delete(&http).await.expect("gone");
    let member = GUILD.edit_member(&http, GRACE, EditMember::new().nickname("G")).await.expect("an edit");
    assert_eq!(member.nick.as_deref(), Some("G"));
    let role = GUILD.create_role(&http, EditRole::new().name("helpers")).await.expect("a role");
    http.add_member_role(GUILD, GRACE, role.id, Some("because")).await.expect("given");
    let member = GUILD.member(&http, GRACE).await.expect("the member");
    assert!(member.roles.contains(&role.id) && member.roles.contains(&RoleId::new(940_000_000_000_000_001)));
    place.close().await;
}
