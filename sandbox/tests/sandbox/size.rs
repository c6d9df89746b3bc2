//! A guild of 50,000.

use guildstream_sandbox::SandboxConfig;
use serde_json::json;

use crate::harness::{ALL_INTENTS, GUILD, Heard, Place, quiet};

#[actix_web::test]
async fn fifty_thousand_members_are_served_as_discord_serves_a_large_guild() {
    let place = Place::open(SandboxConfig { members: 50_000, ..quiet() }).await;
    let mut socket = place.socket("?v=10").await;
    socket.identify(json!({ "intents": ALL_INTENTS, "large_threshold": 250 })).await;
    let guild = socket.event("GUILD_CREATE").await;
    assert_eq!((&guild["large"], &guild["member_count"]), (&json!(true), &json!(50_001)));
    let members = guild["members"].as_array().map_or(0, Vec::len);
    assert!((3000..8000).contains(&members), "{members} online");
    socket.send(json!({ "op": 8, "d": { "guild_id": GUILD, "query": "", "limit": 0 } })).await;
    let mut asked = 0;
    for at in 0..51 {
        let Heard::Text(text) = socket.hear().await else { panic!("chunk {at} did not come") };
        assert!(text.contains(&format!(r#""chunk_index":{at},"chunk_count":51"#)), "chunk {at}");
        asked += text.matches(r#""joined_at""#).count();
    }
    assert_eq!(asked, 50_001);
    assert_eq!(place.state()["guilds"][0]["memberCount"], 50_001);
    place.close().await;
}
