//! Promises of the program as a process: what it prints, how it ends, and with which exit code.
#![allow(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

const LINK_TOKEN: &str = "hunter2-hunter2-hunter2";

/// The program with these settings and no others.
fn program(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guildstream"));
    command.args(arguments).env_clear().envs(settings.iter().copied());
    command
}

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program(arguments, settings).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A sandbox, which needs no other role. Its process ends with the test.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    /// Returns when it listens.
    fn start() -> Self {
        let settings = [("SANDBOX_PORT", "0"), ("SANDBOX_EVENTS_PER_S", "0"), ("LOG_FORMAT", "json")];
        let mut child = program(&["sandbox"], &settings).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, log };
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert_ne!(running.log.read_line(&mut line).unwrap(), 0, "it ended before it listened");
        }
        running
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code, and the rest of the log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn wrong_settings_are_all_named_and_exit_with_64() {
    let (code, _, errors) = run(&["web"], &[("WEB_PORT", "high"), ("PUBLIC_URL", "http://example.org")]);
    assert_eq!(code, Some(64));
    for name in ["WEB_PORT=\"high\"", "PUBLIC_URL=", "LINK_TOKEN is not set", "SESSION_SECRET is not set"] {
        assert!(errors.contains(name), "{name} not in {errors}");
    }
}

#[test]
fn with_the_secrets_of_development_nothing_starts_in_production() {
    let settings: Vec<_> = include_str!("../.env.development")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name != "GUILDSTREAM_ENV")
        .collect();
    for (role, secret) in [("gateway", "DISCORD_BOT_TOKEN"), ("web", "SESSION_SECRET"), ("web", "LINK_TOKEN")]
    {
        let (code, _, errors) = run(&[role], &settings);
        assert_eq!(code, Some(64), "{role}");
        assert!(errors.contains(secret), "{role}: {errors}");
    }
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    for (wrong, says) in [
        (&["gatway"][..], "unrecognized subcommand 'gatway'"),
        (&[], "Usage: guildstream"),
        (&["web", "--port", "3000"], "unexpected argument '--port'"),
        (&["config", "all"], "possible values: gateway, web, sandbox"),
    ] {
        let (code, _, errors) = run(wrong, &[]);
        assert_eq!(code, Some(64), "{wrong:?}");
        assert!(errors.contains(says), "{wrong:?}: {errors}");
    }
    let (code, help, _) = run(&["gateway", "--help"], &[]);
    assert_eq!(code, Some(0));
    assert!(help.contains("  DISCORD_BOT_TOKEN [required]\n"), "{help}");
    let (code, version, _) = run(&["--version"], &[]);
    assert_eq!((code, &*version), (Some(0), concat!("guildstream ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn config_prints_what_would_be_used_without_secrets() {
    let settings = [
        ("LINK_TOKEN", LINK_TOKEN),
        ("DISCORD_BOT_TOKEN", "hunter2"),
        ("VITE_DISCORD_GUILD_ID", "42"),
        ("GATEWAY_WS_PORT", "9000"),
    ];
    let (code, printed, errors) = run(&["config", "gateway"], &settings);
    assert_eq!((code, &*errors), (Some(0), ""));
    for line in ["LINK_TOKEN=(set, not shown)", "GATEWAY_WS_PORT=9000", "GATEWAY_WS_BIND=127.0.0.1"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} not in {printed}");
    }
    assert!(!printed.contains("hunter2"), "{printed}");

    let (code, _, errors) = run(&["config", "web"], &settings);
    assert_eq!(code, Some(64));
    assert!(errors.contains("SESSION_SECRET is not set") && !errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_taken_port_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let gateway = [
        ("LINK_TOKEN", LINK_TOKEN),
        ("DISCORD_BOT_TOKEN", "x"),
        ("VITE_DISCORD_GUILD_ID", "42"),
        ("GATEWAY_WS_PORT", &port),
    ];
    let sandbox = [("SANDBOX_PORT", &*port)];
    for (role, settings, name) in
        [("gateway", &gateway[..], "GATEWAY_WS_PORT"), ("sandbox", &sandbox[..], "SANDBOX_PORT")]
    {
        let (code, _, log) = run(&[role], settings);
        assert_eq!(code, Some(1), "{role}: {log}");
        assert!(log.contains(&address.to_string()) && log.contains(name), "{role}: {log}");
    }
}

#[test]
fn either_signal_stops_a_role_with_code_0_and_the_log_says_which() {
    for signal in ["TERM", "INT"] {
        let running = Running::start();
        running.signal(signal);
        let (code, log) = running.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains(&format!("SIG{signal} received: stopping")), "{log}");
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
            assert!(line["ts"].is_string() && line["level"].is_string() && line["message"].is_string());
        }
    }
}

#[test]
fn purge_removes_what_the_gateway_kept_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("checkpoint.json"), "{}").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let path = dir.path().to_str().unwrap();
    let (code, printed, errors) = run(&["purge"], &[("GATEWAY_STATE_DIR", path)]);
    assert_eq!((code, printed, &*errors), (Some(0), format!("1 files removed from {path}\n"), ""));
    assert!(!dir.path().join("checkpoint.json").exists() && dir.path().join("notes.txt").exists());

    let (code, _, errors) = run(&["purge"], &[("GATEWAY_STATE_DIR", "")]);
    assert_eq!(code, Some(64));
    assert!(errors.contains("nothing is kept on disk"), "{errors}");
}
