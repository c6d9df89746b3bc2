//! Promises about settings: what is refused and how it is said, and that code, help, README and
//! `.env.development` tell the same story.

use std::collections::BTreeMap;

use guildstream::config::{
    Environment, GatewayConfig, LegacyAudience, LogFormat, SandboxSettings, WebConfig, check, effective,
    setting::{self, Fallback, Role, SETTINGS, Setting},
};
use secrecy::ExposeSecret;

const DEVELOPMENT: &str = include_str!("../.env.development");
const ROLES: [Role; 3] = [Role::Gateway, Role::Web, Role::Sandbox];

/// `.env.development` as `make` exports it.
fn development() -> BTreeMap<String, String> {
    DEVELOPMENT
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The least that a production web and gateway role need.
fn production() -> BTreeMap<String, String> {
    [
        ("LINK_TOKEN", "a-link-token-of-our-own".to_owned()),
        ("VITE_DISCORD_GUILD_ID", "42,7".to_owned()),
        ("DISCORD_BOT_TOKEN", "MTIz.abc.our-own".to_owned()),
        ("DISCORD_CLIENT_ID", "123".to_owned()),
        ("DISCORD_CLIENT_SECRET", "our-own-client-secret".to_owned()),
        ("SESSION_SECRET", "s".repeat(64)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn with(mut variables: BTreeMap<String, String>, changes: &[(&str, &str)]) -> Environment {
    for (name, value) in changes {
        variables.insert((*name).to_owned(), (*value).to_owned());
    }
    variables.into_iter().collect()
}

fn mistakes(role: Role, environment: &Environment) -> Vec<String> {
    check(role, environment).err().map(|error| error.mistakes().to_vec()).unwrap_or_default()
}

#[test]
fn defaults_are_those_of_the_table() {
    let gateway = GatewayConfig::read(&with(production(), &[])).unwrap();
    assert_eq!((gateway.gateway_ws_port, gateway.gateway_ws_bind.to_string()), (8080, "127.0.0.1".into()));
    assert_eq!(gateway.vite_discord_guild_id.iter().map(|id| id.0).collect::<Vec<_>>(), [7, 42]);
    assert_eq!(gateway.discord_url.as_str(), "https://discord.com/");
    assert_eq!(gateway.discord_intents, 1 | 1 << 1 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 15);
    assert_eq!(gateway.gateway_state_dir.as_deref(), Some("./state".as_ref()));
    assert!(!gateway.development);

    let web = WebConfig::read(&with(production(), &[])).unwrap();
    assert_eq!(web.gateway_ws_url.as_str(), "ws://localhost:8080/");
    assert_eq!(web.gateway_max_reconnect_attempts, Some(10));
    assert_eq!(web.link_legacy_audience, LegacyAudience::None);
    assert_eq!((web.replay_events, web.replay_bytes), (10_000, 64 << 20));
    assert_eq!((web.session_ttl_s.as_secs(), web.sse_heartbeat_s.as_secs()), (28_800, 15));
    assert_eq!((web.sse_queue_frames, web.sse_queue_bytes), (256, 1 << 20));
    assert!(web.web_workers >= 1 && web.cors_origins.is_empty() && web.trusted_proxies.is_empty());
    assert_eq!(web.log.log_format, LogFormat::Text);

    let sandbox = SandboxSettings::read(&Environment::default()).unwrap();
    assert_eq!((sandbox.sandbox_port, sandbox.sandbox_seed, sandbox.sandbox_members), (8090, 1, 24));
    assert!((sandbox.sandbox_events_per_s - 0.5).abs() < f64::EPSILON);
}

#[test]
fn one_run_reports_every_mistake_with_name_value_and_advice() {
    let environment = with(
        BTreeMap::new(),
        &[
            ("WEB_PORT", "http"),
            ("PUBLIC_URL", "http://example.org"),
            ("SESSION_SECRET", "short"),
            ("LOG_FORMAT", "xml"),
        ],
    );
    let found = mistakes(Role::Web, &environment);
    for expected in [
        "WEB_PORT=\"http\": write a number from 0 to 65535",
        "PUBLIC_URL=\"http://example.org\": use https: http is only for loopback addresses",
        "SESSION_SECRET: use at least 64 bytes, not 5; make one with: openssl rand -hex 64",
        "LOG_FORMAT=\"xml\": write text or json",
        "LINK_TOKEN is not set: shared secret of gateway and web, at least 16 characters",
        "VITE_DISCORD_GUILD_ID is not set: id of the guild to show, or several separated by commas",
        "DISCORD_CLIENT_ID is not set: id of the OAuth2 application",
        "DISCORD_CLIENT_SECRET is not set: secret of the OAuth2 application",
    ] {
        assert!(found.iter().any(|mistake| mistake == expected), "{expected} not in {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn a_wrong_value_is_refused_under_its_own_name() {
    for (role, name, bad) in [
        (Role::Gateway, "GUILDSTREAM_ENV", "staging"),
        (Role::Gateway, "GATEWAY_WS_PORT", "65536"),
        (Role::Gateway, "GATEWAY_WS_BIND", "localhost"),
        (Role::Gateway, "DISCORD_INTENTS", "GUILDS"),
        (Role::Gateway, "DISCORD_URL", "http://discord.com"),
        (Role::Gateway, "DISCORD_BOT_TOKEN", "Bot abc"),
        (Role::Gateway, "REPLAY_EVENTS", "0"),
        (Role::Gateway, "REPLAY_BYTES", "64 MiB"),
        (Role::Gateway, "LINK_TOKEN", "fifteen-letters"),
        (Role::Web, "GATEWAY_WS_URL", "http://localhost:8080"),
        (Role::Web, "GATEWAY_MAX_RECONNECT_ATTEMPTS", "-1"),
        (Role::Web, "LINK_LEGACY_AUDIENCE", "everyone"),
        (Role::Web, "WEB_WORKERS", "0"),
        (Role::Web, "DISCORD_CLIENT_ID", "my-app"),
        (Role::Web, "SESSION_TTL_S", "8h"),
        (Role::Web, "REDIS_URL", "http://localhost"),
        (Role::Web, "CORS_ORIGINS", "*"),
        (Role::Web, "TRUSTED_PROXIES", "proxy.local"),
        (Role::Web, "SSE_HEARTBEAT_S", "0"),
        (Role::Web, "RUST_LOG", "loud"),
        (Role::Sandbox, "SANDBOX_EVENTS_PER_S", "NaN"),
        (Role::Sandbox, "SANDBOX_MEMBERS", "3"),
        (Role::Sandbox, "SANDBOX_SEED", "0x1"),
        (Role::Sandbox, "SANDBOX_BIND", "0.0.0.0"),
    ] {
        let found = mistakes(role, &with(production(), &[(name, bad)]));
        assert!(matches!(&found[..], [one] if one.starts_with(name)), "{name}={bad}: {found:#?}");
    }
}

#[test]
fn a_development_secret_is_refused_in_production() {
    for setting in SETTINGS {
        let Some(known) = setting.secret.and_then(|secret| secret.development) else { continue };
        let role = setting.roles[0];
        let found = mistakes(role, &with(production(), &[(setting.name, known)]));
        assert!(matches!(&found[..], [one] if one.starts_with(setting.name)), "{}: {found:#?}", setting.name);
        let environment = with(production(), &[(setting.name, known), ("GUILDSTREAM_ENV", "development")]);
        assert_eq!(mistakes(role, &environment), [""; 0], "{}", setting.name);
    }
}

#[test]
fn no_mistake_and_no_debug_output_shows_a_secret() {
    let secrets = ["hunter2 with-a-space", "Bot hunter2", "hunter2"];
    let environment = with(
        production(),
        &[
            ("LINK_TOKEN", secrets[0]),
            ("DISCORD_BOT_TOKEN", secrets[1]),
            ("SESSION_SECRET", secrets[2]),
            ("REDIS_URL", "http://:hunter2@localhost"),
            ("METRICS_TOKEN", "hunter2"),
        ],
    );
    for role in ROLES {
        let text = format!("{:?} {:?}", mistakes(role, &environment), effective(role, &environment));
        assert!(!text.contains("hunter2"), "{text}");
    }
    let config = WebConfig::read(&with(production(), &[("LINK_TOKEN", "hunter2-hunter2-hunter2")])).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_two_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "a-token-from-a-file\n").unwrap();
    let path = path.to_str().unwrap();

    let mut variables = production();
    variables.remove("LINK_TOKEN");
    let config = GatewayConfig::read(&with(variables.clone(), &[("LINK_TOKEN_FILE", path)])).unwrap();
    assert_eq!(config.link_token.expose_secret(), "a-token-from-a-file");

    for (variables, file, named) in [
        (production(), path, "LINK_TOKEN and LINK_TOKEN_FILE are both set"),
        (variables.clone(), "/nowhere/at/all", "LINK_TOKEN_FILE=\"/nowhere/at/all\""),
    ] {
        let found = mistakes(Role::Gateway, &with(variables, &[("LINK_TOKEN_FILE", file)]));
        assert!(matches!(&found[..], [one] if one.starts_with(named)), "{found:#?}");
    }
    // Only secrets are read from files.
    let found = mistakes(Role::Gateway, &with(production(), &[("GATEWAY_WS_PORT_FILE", "/nowhere/at/all")]));
    assert_eq!(found, [""; 0]);
}

#[test]
fn an_empty_variable_counts_as_not_set_except_the_state_directory() {
    let environment =
        with(production(), &[("GATEWAY_WS_PORT", ""), ("GATEWAY_STATE_DIR", ""), ("METRICS_TOKEN", " ")]);
    let config = GatewayConfig::read(&environment).unwrap();
    assert_eq!((config.gateway_ws_port, config.gateway_state_dir), (8080, None));
    assert!(config.metrics_token.is_none());
    let found = mistakes(Role::Gateway, &with(production(), &[("LINK_TOKEN", "")]));
    assert!(found[0].starts_with("LINK_TOKEN is not set"), "{found:#?}");
}

#[test]
fn variables_of_other_programs_and_roles_are_ignored() {
    let environment = with(production(), &[("PATH", "/bin"), ("SANDBOX_PORT", "none of my business")]);
    assert_eq!(mistakes(Role::Web, &environment), [""; 0]);
}

#[test]
fn env_development_names_every_setting_with_its_default_and_starts_every_role() {
    let development = development();
    let names: Vec<&str> = development.keys().map(String::as_str).collect();
    for setting in SETTINGS {
        let value = development.get(setting.name).unwrap_or_else(|| panic!("{} is missing", setting.name));
        match (setting.name, setting.secret.and_then(|secret| secret.development), setting.default) {
            ("GUILDSTREAM_ENV", ..) => assert_eq!(value, "development"),
            ("DISCORD_URL", ..) => assert_eq!(value, "http://localhost:8090"),
            (_, Some(secret), _) => assert_eq!(value, secret, "{}", setting.name),
            (_, None, Fallback::Text(default)) => assert_eq!(value, default, "{}", setting.name),
            (_, None, Fallback::None) => assert_eq!(value, "", "{}", setting.name),
            (_, None, Fallback::Required) => assert_ne!(value, "", "{}", setting.name),
        }
        let lines: Vec<&str> = DEVELOPMENT.lines().collect();
        let at = lines.iter().position(|line| line.starts_with(&format!("{}=", setting.name))).unwrap();
        assert_eq!(lines[at - 1], format!("# {}", setting.meaning), "{}", setting.name);
    }
    assert_eq!(names.len(), SETTINGS.len(), "a variable that is no setting: {names:?}");
    for role in ROLES {
        assert_eq!(mistakes(role, &with(development.clone(), &[])), [""; 0]);
    }
}

#[test]
fn help_lists_every_setting_of_the_role_with_default_and_meaning() {
    for role in ROLES {
        let help = setting::help(role);
        for setting in SETTINGS {
            let entry =
                format!("  {} [{}]\n      {}\n", setting.name, setting.default_text(), setting.meaning);
            assert_eq!(
                help.contains(&entry),
                setting.roles.contains(&role),
                "{}: {}",
                role.name(),
                setting.name
            );
        }
    }
}

#[test]
fn the_readme_has_a_row_for_every_setting_and_for_no_other() {
    let readme = include_str!("../README.md");
    let table = readme.split("<!-- settings -->").nth(1).and_then(|rest| rest.split("<!-- end").next());
    let rows: Vec<&str> = table.unwrap().lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = SETTINGS.iter().map(readme_row).collect();
    assert_eq!(rows, expected);
}

fn readme_row(setting: &Setting) -> String {
    let lock = if setting.secret.is_some() { " 🔒" } else { "" };
    let roles = match setting.roles {
        roles if roles == ROLES => "all".to_owned(),
        roles => roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "),
    };
    let default = match setting.default {
        // A long list may be broken between its items.
        Fallback::Text(text) if text.len() > 60 => format!("`{}`", text.replace(',', ", ")),
        Fallback::Text(text) => format!("`{text}`"),
        Fallback::None | Fallback::Required => setting.default_text().to_owned(),
    };
    format!("| `{}`{lock} | {roles} | {default} | {} |", setting.name, setting.meaning)
}
