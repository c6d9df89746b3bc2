//! serenity against the sandbox: what it parses is what Discord would send, and its own client stays connected.

use std::{collections::BTreeSet, sync::Arc};

use guildstream_sandbox::{BOT_TOKEN, Fault, SandboxConfig};
use serde_json::json;
use serenity::{
    all::{
        ChannelId, ChannelType, Context, CreateChannel, CreateEmbed, CreateMessage, EditChannel, EditMember,
        EditMessage, EditRole, Event, GatewayIntents, GetMessages, GuildId, RawEventHandler, ReactionType,
        RoleId, ShardManager, UserId,
    },
    async_trait,
    http::{Http, HttpBuilder},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::harness::{PATIENCE, Place, quiet};

const GUILD: GuildId = GuildId::new(910_000_000_000_000_001);
const GENERAL: ChannelId = ChannelId::new(910_000_000_000_000_101);
const GRACE: UserId = UserId::new(930_000_000_000_000_002);
const LOUNGE: ChannelId = ChannelId::new(910_000_000_000_000_201);

fn http(place: &Place) -> Http {
    // Another test of this process may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpBuilder::new(BOT_TOKEN).proxy(place.sandbox.url()).ratelimiter_disabled(true).build()
}

/// serenity's own Gateway client, running.
pub(crate) struct Bot {
    pub(crate) http: Arc<Http>,
    /// Dispatches that it was told of, READY and RESUMED among them.
    pub(crate) heard: u64,
    events: mpsc::Receiver<Event>,
    shards: Arc<ShardManager>,
    running: JoinHandle<()>,
}

/// Passes every event on as serenity has parsed it.
struct Ear(mpsc::Sender<Event>);

#[async_trait]
impl RawEventHandler for Ear {
    async fn raw_event(&self, _: Context, event: Event) {
        // After its test nobody listens.
        let _ = self.0.send(event).await;
    }
}

impl Bot {
    pub(crate) async fn start(place: &Place) -> Self {
        let (ear, events) = mpsc::channel(64);
        let client = serenity::client::ClientBuilder::new_with_http(http(place), GatewayIntents::all());
        let mut client = client.raw_event_handler(Ear(ear)).await.expect("a client");
        let (http, shards) = (client.http.clone(), client.shard_manager.clone());
        let running = tokio::spawn(async move { client.start().await.expect("it runs until it is stopped") });
        Self { http, heard: 0, events, shards, running }
    }

    /// What it is told next.
    pub(crate) async fn event(&mut self) -> Event {
        let event = timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("it runs");
        self.heard += 1;
        event
    }

    /// Waits for an event that `wanted` makes something of.
    async fn find<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await) {
                return found;
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.shards.shutdown_all().await;
        timeout(PATIENCE, self.running).await.expect("it stops in time").expect("without a panic");
    }
}

#[actix_web::test]
async fn its_client_becomes_ready_and_hears_its_own_message_and_reaction() {
    let place = Place::open(quiet()).await;
    let mut bot = Bot::start(&place).await;
    let me = bot
        .find(|event| if let Event::Ready(event) = event { Some(event.ready.user.id) } else { None })
        .await;
    let guild =
        bot.find(|event| if let Event::GuildCreate(event) = event { Some(event.guild) } else { None }).await;
    assert_eq!((guild.id, guild.members.len()), (GUILD, 25));
    let sent = GENERAL.say(&bot.http, "hello").await.expect("a message");
    sent.react(&bot.http, ReactionType::Unicode("🎉".to_owned())).await.expect("a reaction");
    let message =
        bot.find(|event| if let Event::MessageCreate(event) = event { Some(event.message) } else { None });
    let message = message.await;
    assert_eq!((message.id, message.author.id, message.content.as_str()), (sent.id, me, "hello"));
    let reaction =
        bot.find(|event| if let Event::ReactionAdd(event) = event { Some(event.reaction) } else { None });
    let reaction = reaction.await;
    assert_eq!((reaction.message_id, reaction.user_id), (sent.id, Some(me)));
    bot.stop().await;
    place.close().await;
}

#[actix_web::test]
async fn its_client_resumes_after_every_end_that_allows_it_and_misses_nothing() {
    let place = Place::open(SandboxConfig { rate_limits: false, ..quiet() }).await;
    let mut bot = Bot::start(&place).await;
    bot.find(|event| matches!(event, Event::GuildCreate(_)).then_some(())).await;
    for fault in [Fault::Drop {}, Fault::Reconnect {}, Fault::Close { code: 4000 }] {
        place.sandbox.fault(&fault).expect("a fault");
        let mut missing: BTreeSet<String> = (0..20).map(|at| format!("{fault:?} {at}")).collect();
        for content in &missing {
            let path = format!("/channels/{GENERAL}/messages");
            assert_eq!(place.bot("POST", &path, json!({ "content": content })).await.status, 200);
        }
        let mut resumed = false;
        while !(resumed && missing.is_empty()) {
            match bot.event().await {
                Event::MessageCreate(event) => {
                    assert!(
                        missing.remove(&event.message.content),
                        "{fault:?}: a second {:?}",
                        event.message
                    );
                }
                Event::Resumed(_) => resumed = true,
                other => panic!("{fault:?}: {other:?}"),
            }
        }
    }
    let state = place.state();
    assert_eq!((&state["identifies"], &state["resumes"]), (&json!(1), &json!(3)));
    assert_eq!(state["sessions"][0]["seq"], bot.heard);
    bot.stop().await;
    place.close().await;
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
