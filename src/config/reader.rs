//! Reads settings one by one and remembers every mistake, so that one run reports them all.

use std::{collections::BTreeMap, fmt};

use secrecy::SecretString;

use super::setting::{Fallback, GUILDSTREAM_ENV, Role, Setting, settings_of};

/// Everything that is wrong with a role's settings. A secret's value is never part of it.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    role: Role,
    mistakes: Vec<String>,
}

impl ConfigError {
    /// One line per mistake: the variable, its value and what to do.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.name();
        write!(
            f,
            "the {role} role cannot start with these settings (guildstream {role} --help lists them):"
        )?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

/// Environment variables by name: those of the process, or a test's.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. A value that is no UTF-8 is kept with replacement characters, and so
    /// refused by whatever reads it.
    pub fn of_process() -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Reads the settings of one role. Where a value is wrong it notes the mistake and hands out a stand-in, which
/// never leaves [`finish`](Self::finish).
pub(super) struct Reader<'a> {
    role: Role,
    environment: &'a Environment,
    development: bool,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(role: Role, environment: &'a Environment) -> Self {
        let mut reader = Self { role, environment, development: false, mistakes: Vec::new() };
        reader.development = reader.value(&GUILDSTREAM_ENV, |text| match text {
            "production" => Ok(false),
            "development" => Ok(true),
            _ => Err("write production or development".into()),
        });
        reader
    }

    pub(super) fn development(&self) -> bool {
        self.development
    }

    /// A setting with a default.
    pub(super) fn value<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let default = match setting.default {
            Fallback::Text(text) => text,
            Fallback::None | Fallback::Required => "",
        };
        self.parsed(setting, &parse).unwrap_or_else(|| {
            parse(default).unwrap_or_else(|why| panic!("default of {}: {why}", setting.name))
        })
    }

    /// A setting that must be set, or a list that may be empty: its stand-in is the type's own default.
    pub(super) fn or_default<T: Default>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.parsed(setting, &parse).unwrap_or_default()
    }

    /// A required secret, checked by `check`.
    pub(super) fn secret(
        &mut self,
        setting: &Setting,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> SecretString {
        self.optional_secret(setting, check).unwrap_or_default()
    }

    /// A secret that may be missing, checked by `check`.
    pub(super) fn optional_secret(
        &mut self,
        setting: &Setting,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<SecretString> {
        self.parsed(setting, &|text| check(text).map(|()| SecretString::from(text)))
    }

    /// The text of a setting where an empty value has a meaning of its own.
    pub(super) fn raw(&self, setting: &Setting) -> Option<&'a str> {
        self.environment.0.get(setting.name).map(String::as_str)
    }

    /// What was read, if nothing was wrong.
    pub(super) fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { role: self.role, mistakes: self.mistakes })
        }
    }

    /// `NAME=value` for every setting as this run would use it, a secret only as set or not.
    pub(super) fn effective(&mut self) -> Vec<String> {
        settings_of(self.role)
            .map(|setting| match (self.text(setting), setting.secret) {
                (Some(_), Some(_)) => format!("{}=(set, not shown)", setting.name),
                (Some(text), None) => format!("{}={text}", setting.name),
                (None, _) => format!("{}=  # {}", setting.name, setting.default_text()),
            })
            .collect()
    }

    fn parsed<T>(&mut self, setting: &Setting, parse: &dyn Fn(&str) -> Result<T, String>) -> Option<T> {
        debug_assert!(setting.roles.contains(&self.role), "{} is not a setting of this role", setting.name);
        let text = self.text(setting)?;
        let result = match setting.secret.and_then(|secret| secret.development) {
            Some(known) if known == text && !self.development => {
                Err("is the secret of .env.development, which everybody knows: set your own, or \
                 GUILDSTREAM_ENV=development on a laptop"
                    .into())
            }
            _ => parse(&text),
        };
        match (result, setting.secret) {
            (Ok(value), _) => return Some(value),
            (Err(what_to_do), None) => self.mistake(format!("{}={text:?}: {what_to_do}", setting.name)),
            (Err(what_to_do), Some(_)) => self.mistake(format!("{}: {what_to_do}", setting.name)),
        }
        None
    }

    /// The setting's text from the environment, its file or its default. Notes what is missing or unreadable.
    fn text(&mut self, setting: &Setting) -> Option<String> {
        let in_environment =
            |name: &str| self.environment.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let file_variable = setting.file_variable();
        let file = setting.secret.and_then(|_| in_environment(&file_variable));
        match (in_environment(setting.name), file, setting.default) {
            (Some(_), Some(_), _) => {
                self.mistake(format!("{} and {file_variable} are both set: keep one", setting.name));
                None
            }
            (Some(text), None, _) => Some(text.to_owned()),
            (None, Some(path), _) => self.file(&file_variable, path),
            (None, None, Fallback::Text(text)) => Some(text.to_owned()),
            (None, None, Fallback::None) => None,
            (None, None, Fallback::Required) => {
                self.mistake(format!("{} is not set: {}", setting.name, setting.meaning));
                None
            }
        }
    }

    fn file(&mut self, variable: &str, path: &str) -> Option<String> {
        let mistake = match std::fs::read_to_string(path) {
            // Editors and `echo` end a file with a newline that is no part of the secret.
            Ok(text) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
            Ok(_) => "the file is empty: write the secret into it".to_owned(),
            Err(error) => format!("{error}: name a file that this user can read"),
        };
        self.mistake(format!("{variable}={path:?}: {mistake}"));
        None
    }

    fn mistake(&mut self, text: String) {
        self.mistakes.push(text);
    }
}
