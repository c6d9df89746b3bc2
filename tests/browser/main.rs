//! The page in a real browser: Debian's Chromium, driven over WebDriver, with the roles and the sandbox in process.
//! Pictures of what it looked like are left in `target/screens/`.

#![allow(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

mod chromium;
mod stage;

use chromium::Look;
use fantoccini::key::Key;
use serde_json::json;
use stage::{ADA, GRACE, GUILD, LINUS, LOUNGE, STAFF, Stage, WORKSHOP};

/// In the card of the channel with this name, everyone's name.
fn people_in(channel: &str) -> String {
    format!(
        "[...document.querySelectorAll('#cards .card')].filter(card => card.querySelector('h4').textContent === '{channel}')\
         .flatMap(card => [...card.querySelectorAll('.name')].map(name => name.textContent))"
    )
}

/// The words on one hop of the path.
fn hop(at: usize) -> String {
    format!("document.querySelectorAll('.hop')[{at}].querySelector('.state').textContent")
}

#[actix_web::test]
async fn one_signs_in_through_the_sandbox_and_sees_who_is_in_voice() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.open(&stage.url()).await;
    page.until("the invitation to sign in", "document.body.dataset.view === 'signed-out'").await;
    page.picture("signed-out").await;
    page.assert_accessible().await;
    page.click("#sign-in").await;
    page.until("the sandbox's page", "document.querySelector('a[href*=\"as=ada\"]')").await;
    page.picture("sandbox-sign-in").await;
    page.assert_accessible().await;
    page.click("a[href*='as=ada']").await;
    page.until_live().await;
    assert!(page.value("document.querySelector('#account .name').textContent").await == "Ada");
    stage.seat(GRACE, Some(LOUNGE));
    page.until("Grace in the Lounge", &format!("{}.includes('Grace')", people_in("Lounge"))).await;
    page.picture("desktop-light").await;
    page.assert_accessible().await;
    stage.end(page).await;
}

#[actix_web::test]
async fn the_dark_page_is_as_accessible_as_the_light_one() {
    let Some((stage, page)) = Stage::with_page(Look::Dark).await else { return };
    page.sign_in(&stage, "ada").await;
    stage.seat(GRACE, Some(LOUNGE));
    page.until("Grace in the Lounge", &format!("{}.includes('Grace')", people_in("Lounge"))).await;
    assert_eq!(page.value("matchMedia('(prefers-color-scheme: dark)').matches").await, json!(true));
    page.picture("desktop-dark").await;
    page.assert_accessible().await;
    stage.end(page).await;
}

#[actix_web::test]
async fn a_move_in_discord_shows_within_a_second() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "linus").await;
    stage.seat(GRACE, Some(LOUNGE));
    page.until("Grace in the Lounge", &format!("{}.includes('Grace')", people_in("Lounge"))).await;
    let began = std::time::Instant::now();
    stage.seat(GRACE, Some(WORKSHOP));
    page.until("Grace in the Workshop", &format!("{}.includes('Grace')", people_in("Workshop"))).await;
    assert!(began.elapsed().as_secs_f64() < 1.0, "took {:?}", began.elapsed());
    stage.seat(GRACE, None);
    page.until("Grace gone", &format!("!{}.includes('Grace')", people_in("Workshop"))).await;
    stage.end(page).await;
}

#[actix_web::test]
async fn a_gateway_restart_is_shown_and_loses_nothing() {
    let Some((mut stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "ada").await;
    page.until("the link up", &format!("{} === 'connected'", hop(2))).await;
    stage.stop_gateway().await;
    page.until("the link down", &format!("{} === 'reconnecting'", hop(2))).await;
    page.until("the notice that the rooms are of before", "!document.querySelector('#stale').hidden").await;
    page.picture("gateway-down").await;
    page.assert_accessible().await;
    stage.seat(GRACE, Some(WORKSHOP));
    stage.start_gateway().await;
    page.until("the link back", &format!("{} === 'connected'", hop(2))).await;
    page.until("the notice gone", "document.querySelector('#stale').hidden").await;
    page.until("what happened meanwhile", &format!("{}.includes('Grace')", people_in("Workshop"))).await;
    stage.end(page).await;
}

#[actix_web::test]
async fn two_tabs_share_one_connection_and_hand_it_over() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "ada").await;
    stage.until_streams(1).await;
    let first = page.tab().await;
    let second = page.new_tab(&stage.url()).await;
    page.until_live().await;
    stage.seat(GRACE, Some(LOUNGE));
    page.until("the second tab's roster", &format!("{}.includes('Grace')", people_in("Lounge"))).await;
    stage.until_streams(1).await;
    page.close_tab(first, second).await;
    page.until(
        "the second tab leading",
        "document.querySelectorAll('.hop')[3].textContent.includes('by this tab')",
    )
    .await;
    stage.seat(GRACE, Some(WORKSHOP));
    page.until("events in the second tab", &format!("{}.includes('Grace')", people_in("Workshop"))).await;
    stage.until_streams(1).await;
    stage.end(page).await;
}

#[actix_web::test]
async fn an_expired_session_asks_to_sign_in_again() {
    let Some((stage, page)) = Stage::with_short_sessions(Look::Desktop).await else { return };
    page.sign_in(&stage, "ada").await;
    page.until("the end of the session", "document.body.dataset.view === 'signed-out'").await;
    assert_eq!(
        page.value("document.querySelector('#signed-out-title').textContent").await,
        "Your session has ended"
    );
    assert_eq!(page.value("document.querySelector('#ready').hidden").await, json!(true));
    page.picture("session-ended").await;
    page.assert_accessible().await;
    stage.end(page).await;
}

#[actix_web::test]
async fn a_message_sent_from_the_page_comes_back_from_discord() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "linus").await;
    page.until("a channel to write in", "document.querySelector('#composer-channel').value").await;
    assert_eq!(
        page.value("document.querySelector('#composer-channel').selectedOptions[0].text").await,
        "#general"
    );
    page.type_in("#composer-text", "good morning").await;
    page.click("#composer-send").await;
    page.until("the answer", "document.querySelector('#composer-outcome').textContent === 'Sent.'").await;
    let row = "[...document.querySelectorAll('#feed-rows li:not([hidden])')].find(row => row.textContent.includes('good morning'))";
    page.until("the message", row).await;
    page.run(&format!("{row}.querySelector('button').click()")).await;
    page.until("its payload", "document.querySelector('#detail-text').textContent.includes('good morning')")
        .await;
    page.picture("detail").await;
    page.assert_accessible().await;
    stage.end(page).await;
}

#[actix_web::test]
async fn markup_in_names_and_messages_stays_text() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "linus").await;
    page.run(
        "window.violations = []; document.addEventListener('securitypolicyviolation', event => \
         window.violations.push(event.violatedDirective))",
    )
    .await;
    let evil = "<img src=x onerror='document.title=1'>";
    let guild = json!({"t": "GUILD_UPDATE", "d": {"id": GUILD, "name": evil, "owner_id": ADA}});
    let room = json!({"t": "CHANNEL_UPDATE", "d": {"id": WORKSHOP, "guild_id": GUILD, "type": 2, "name": evil,
        "position": 1, "permission_overwrites": []}});
    let message = json!({"t": "MESSAGE_CREATE", "d": {"id": "1", "guild_id": GUILD, "channel_id": LOUNGE, "content": evil,
        "author": {"id": GRACE, "username": evil}}});
    let member = json!({"user": {"id": GRACE, "username": evil}, "roles": []});
    let voice = json!({"t": "VOICE_STATE_UPDATE", "d": {"guild_id": GUILD, "channel_id": LOUNGE, "user_id": GRACE,
        "session_id": "s", "member": member}});
    stage.dispatch(&format!("{guild}\n{room}\n{message}\n{voice}"));
    page.until(
        "the guild's name as text",
        "document.querySelector('#guild-name').textContent.includes('<img src=x')",
    )
    .await;
    page.until(
        "the channel's name as text",
        "[...document.querySelectorAll('.card h4')].some(name => name.textContent.includes('<img src=x'))",
    )
    .await;
    page.until(
        "the name as text",
        &format!("{}.some(name => name.includes('<img src=x'))", people_in("Lounge")),
    )
    .await;
    let row = "[...document.querySelectorAll('#feed-rows li:not([hidden])')].some(row => row.textContent.includes('onerror'))";
    page.until("the message as text", row).await;
    assert_eq!(page.value("document.querySelectorAll('img[src=x]').length").await, json!(0));
    assert_eq!(page.value("document.title").await, format!("{evil} · guildstream"));
    assert_eq!(page.value("window.violations").await, json!([]));
    page.picture("injection").await;
    stage.end(page).await;
}

#[actix_web::test]
async fn one_is_offered_the_channels_in_which_one_may_write() {
    let offered = "[...document.querySelectorAll('#composer-channel option')].map(option => option.text)";
    for (login, staff) in [("grace", true), ("linus", false)] {
        let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
        page.sign_in(&stage, login).await;
        page.until("the channels' names", &format!("{offered}.includes('#general')")).await;
        assert_eq!(page.value(&format!("{offered}.includes('#staff')")).await, json!(staff), "{login}");
        stage.end(page).await;
    }
}

#[actix_web::test]
async fn a_role_given_to_the_viewer_shows_its_channels_and_moves_nobody() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "linus").await;
    let shown = "[...document.querySelectorAll('.card h4')].some(name => name.textContent === 'Staff Room')";
    let offered =
        "[...document.querySelectorAll('#composer-channel option')].some(option => option.text === '#staff')";
    let with_roles = |roles: &[&str]| {
        json!({"t": "GUILD_MEMBER_UPDATE", "d": {"guild_id": GUILD, "user": {"id": LINUS, "username": "linus"}, "roles": roles}})
            .to_string()
    };
    page.until("the channels' names", "document.querySelector('#composer-channel').value").await;
    stage.dispatch(&with_roles(&[STAFF]));
    page.until("the room and the channel", &format!("{shown} && {offered}")).await;
    stage.dispatch(&with_roles(&[]));
    page.until("both gone", &format!("!{shown} && !{offered}")).await;
    let told =
        "[...document.querySelectorAll('#feed-rows li:not([hidden]) .type')].map(type => type.textContent)";
    let moves = format!("{told}.filter(type => /joined|left|moved/.test(type))");
    assert_eq!(page.value(&moves).await, json!([]));
    stage.end(page).await;
}

#[actix_web::test]
async fn the_keyboard_opens_an_event_and_comes_back_to_it() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "ada").await;
    stage.seat(GRACE, Some(LOUNGE));
    page.until("Grace in the Lounge", &format!("{}.includes('Grace')", people_in("Lounge"))).await;
    page.run("document.querySelector('#feed').focus()").await;
    page.press(Key::Down).await;
    page.press(Key::Down).await;
    let focused = "document.activeElement.closest('.row')?.textContent";
    let chosen = page.value(focused).await;
    assert!(chosen.is_string(), "no row has the focus");
    page.press(Key::Enter).await;
    page.until("the event", "document.querySelector('#detail').open").await;
    assert_eq!(
        page.value("document.querySelector('#detail').contains(document.activeElement)").await,
        json!(true)
    );
    stage.seat(GRACE, Some(WORKSHOP));
    page.until("Grace in the Workshop", &format!("{}.includes('Grace')", people_in("Workshop"))).await;
    page.press(Key::Escape).await;
    page.until("the list again", "!document.querySelector('#detail').open").await;
    assert_eq!(page.value(focused).await, chosen, "the row moved away from under the dialog");
    stage.end(page).await;
}

#[actix_web::test]
async fn a_tab_follows_when_another_tab_signs_in_as_someone_else() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.sign_in(&stage, "ada").await;
    page.until(
        "the Staff Room",
        &format!(
            "{}.length === 0 && document.body.innerText.includes('Staff Room')",
            people_in("Staff Room")
        ),
    )
    .await;
    let first = page.tab().await;
    let second = page.new_tab(&stage.sign_in_url("linus")).await;
    page.until_live().await;
    page.close_tab(second, first).await;
    page.until("Linus", "document.querySelector('#account .name')?.textContent === 'Linus'").await;
    page.until_live().await;
    assert_eq!(page.value("document.body.innerText.includes('Staff Room')").await, json!(false));
    stage.end(page).await;
}

#[actix_web::test]
async fn moves_are_animated_unless_motion_is_reduced() {
    for (look, expected) in [(Look::Desktop, true), (Look::ReducedMotion, false)] {
        let Some((stage, page)) = Stage::with_page(look).await else { return };
        page.sign_in(&stage, "ada").await;
        stage.seat(GRACE, Some(LOUNGE));
        page.until("Grace in the Lounge", &format!("{}.includes('Grace')", people_in("Lounge"))).await;
        page.run(
            "const animate = Element.prototype.animate; window.moves = 0;\
             Element.prototype.animate = function (...way) { window.moves += 1; return animate.apply(this, way); }",
        )
        .await;
        stage.seat(GRACE, Some(WORKSHOP));
        page.until("Grace in the Workshop", &format!("{}.includes('Grace')", people_in("Workshop"))).await;
        assert_eq!(page.value("window.moves > 0").await, json!(expected), "{look:?}");
        stage.end(page).await;
    }
}

#[actix_web::test]
async fn a_narrow_phone_shows_everything_without_scrolling_sideways() {
    let Some((stage, page)) = Stage::with_page(Look::Phone).await else { return };
    page.open(&stage.url()).await;
    page.until("the invitation to sign in", "document.body.dataset.view === 'signed-out'").await;
    page.picture("phone-signed-out").await;
    page.sign_in(&stage, "ada").await;
    stage.seat(ADA, Some(LOUNGE));
    page.until("Ada in the Lounge", &format!("{}.includes('Ada')", people_in("Lounge"))).await;
    assert_eq!(page.value("[innerWidth, document.documentElement.scrollWidth]").await, json!([360, 360]));
    page.picture("phone").await;
    page.assert_accessible().await;
    stage.end(page).await;
}

#[actix_web::test]
async fn who_is_in_no_guild_is_told_so() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.open(&stage.sign_in_url("mallory")).await;
    page.until("the explanation", "document.body.dataset.view === 'not-a-member'").await;
    assert_eq!(page.value("document.querySelector('#stranger').textContent").await, "Mallory");
    page.picture("not-a-member").await;
    page.assert_accessible().await;
    stage.end(page).await;
}

#[actix_web::test]
async fn the_sandbox_page_moves_people_and_causes_faults() {
    let Some((stage, page)) = Stage::with_page(Look::Desktop).await else { return };
    page.open(&stage.sandbox_url()).await;
    page.until(
        "the guild",
        "document.querySelectorAll('.room').length > 1 && document.querySelector('#person').value",
    )
    .await;
    page.assert_accessible().await;
    page.run(&format!(
        "const set = (id, value) => {{ const select = document.getElementById(id); select.value = value; \
         select.dispatchEvent(new Event('change')); }}; set('person', '{ADA}'); set('seat', '{WORKSHOP}');"
    ))
    .await;
    page.click("#move button").await;
    stage.until_seated(ADA, WORKSHOP).await;
    page.click(".fault:nth-of-type(1) button").await;
    page.until("the fault in the log", "document.querySelector('#log').textContent.includes('reconnect')")
        .await;
    page.picture("sandbox").await;
    stage.end(page).await;
}
