//! Logging: env_logger with two forms of line, text for people and JSON for machines.
//!
//! Both are one line per record whatever the message holds, so nothing a peer sends can forge a line.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use env_logger::Builder;
use log::{
    LevelFilter, Record,
    kv::{Key, Value, VisitSource},
};
use serde_json::{Map, Value as Json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::config::{LogConfig, LogFormat};

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Starts logging to standard error, panics included. Does nothing if a logger is already there, as in tests.
pub fn init(config: &LogConfig) {
    let mut builder = Builder::new();
    builder.parse_filters(&filter(&config.rust_log));
    match config.log_format {
        LogFormat::Text => builder.format(|out, record| out.write_all(text_line(now(), record).as_bytes())),
        LogFormat::Json => builder.format(|out, record| json_line(out, now(), record)),
    };
    if builder.try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let trace = std::backtrace::Backtrace::capture();
            log::error!(target: "guildstream::panic", "{panic}\n{trace}");
        }));
    }
}

/// Accepts what env_logger understands; it would only warn about the rest and go on without it.
pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    let directives = text.split('/').next().unwrap_or(text);
    let is_known = |level: &str| level.trim().parse::<LevelFilter>().is_ok();
    for directive in directives.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let understood = match directive.split_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_known(level),
            None => is_known(directive) || directive.contains("::") || directive.starts_with("guildstream"),
        };
        if !understood {
            return Err(format!(
                "{directive:?} is neither a level (off, error, warn, info, debug, trace) nor target=level"
            ));
        }
    }
    Ok(text.to_owned())
}

/// A lone level is meant for guildstream: the libraries below it stay at warnings, so `debug` shows events and
/// not HTTP parsing. Whoever writes directives gets exactly those.
fn filter(rust_log: &str) -> String {
    match rust_log.parse::<LevelFilter>() {
        Ok(level) => format!("{},guildstream={level}", level.min(LevelFilter::Warn)),
        Err(_) => rust_log.to_owned(),
    }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// RFC 3339 with milliseconds, which is what people compare with a browser's clock; always as wide.
fn timestamp(at: OffsetDateTime) -> String {
    at.format(TIMESTAMP).unwrap_or_default()
}

fn text_line(at: OffsetDateTime, record: &Record<'_>) -> String {
    let mut text = record.args().to_string();
    let mut fields = Fields(Map::new());
    // Collecting fields cannot fail.
    let _ = record.key_values().visit(&mut fields);
    for (key, value) in fields.0 {
        let _ = write!(text, " {key}={value}");
    }
    let mut line = format!("{} {:5} {} ", timestamp(at), record.level(), record.target());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line
}

fn json_line(out: &mut dyn Write, at: OffsetDateTime, record: &Record<'_>) -> io::Result<()> {
    let mut fields = Fields(Map::new());
    // Collecting fields cannot fail.
    let _ = record.key_values().visit(&mut fields);
    let Fields(mut object) = fields;
    object.insert("ts".into(), timestamp(at).into());
    object.insert("level".into(), record.level().as_str().to_lowercase().into());
    object.insert("target".into(), record.target().into());
    object.insert("message".into(), record.args().to_string().into());
    serde_json::to_writer(&mut *out, &object)?;
    out.write_all(b"\n")
}

/// The key-value pairs of a record as JSON: numbers and booleans as such, the rest as text.
struct Fields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        let json = value
            .to_u64()
            .map(Json::from)
            .or_else(|| value.to_i64().map(Json::from))
            .or_else(|| value.to_f64().map(Json::from))
            .or_else(|| value.to_bool().map(Json::from))
            .unwrap_or_else(|| value.to_string().into());
        self.0.insert(key.to_string(), json);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use log::Level;
    use time::macros::datetime;

    use super::*;

    fn record<T>(message: &str, use_it: impl FnOnce(&Record<'_>) -> T) -> T {
        let fields =
            [("peer", Value::from("web\n1")), ("events", Value::from(7_u64)), ("ts", Value::from(1))];
        use_it(
            &Record::builder()
                .args(format_args!("{message}"))
                .level(Level::Info)
                .target("guildstream::link")
                .key_values(&fields)
                .build(),
        )
    }

    #[test]
    fn a_json_line_is_one_object_with_time_level_target_message_and_fields() {
        let mut line = Vec::new();
        record("[Gateway WS] \"a\"\nb", |record| {
            json_line(&mut line, datetime!(2026-01-02 03:04:05.678901 UTC), record)
        })
        .unwrap();
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(
            serde_json::from_str::<Json>(&text).unwrap(),
            serde_json::json!({
                "ts": "2026-01-02T03:04:05.678Z", "level": "info", "target": "guildstream::link",
                "message": "[Gateway WS] \"a\"\nb", "peer": "web\n1", "events": 7,
            })
        );
    }

    #[test]
    fn a_text_line_stays_one_line_whatever_is_in_it() {
        let line = record("[SSE] a\r\n2026-01-02 forged\u{1b}[31m", |record| {
            text_line(datetime!(2026-01-02 03:04:05 UTC), record)
        });
        assert_eq!(
            line,
            "2026-01-02T03:04:05.000Z INFO  guildstream::link [SSE] a\\r\\n2026-01-02 forged\\u{1b}[31m \
             events=7 peer=\"web\\n1\" ts=1\n"
        );
    }

    #[test]
    fn a_lone_level_is_for_guildstream_and_directives_are_taken_as_they_are() {
        for (given, used) in [
            ("info", "WARN,guildstream=INFO"),
            ("debug", "WARN,guildstream=DEBUG"),
            ("error", "ERROR,guildstream=ERROR"),
            ("off", "OFF,guildstream=OFF"),
            ("info,actix_http=trace", "info,actix_http=trace"),
        ] {
            assert_eq!(filter(given), used);
        }
    }

    #[test]
    fn a_filter_that_env_logger_would_ignore_is_refused() {
        for good in ["info", "WARN", "guildstream=debug,actix_http=trace", "info/SSE", "guildstream::roles"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "guildstream=loud", "=info", "info;debug"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
