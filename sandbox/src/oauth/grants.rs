//! Who has allowed the application what: consent in progress, codes and tokens.
//!
//! <https://discord.com/developers/docs/topics/oauth2>

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use sha2::{Digest, Sha256};

use crate::world::id::Id;

/// How long a person may look at the sign-in page.
const TICKET_TTL: Duration = Duration::from_secs(600);
/// How long a code waits to be exchanged.
const CODE_TTL: Duration = Duration::from_secs(600);
/// How long an access token lives: a week, as at Discord.
pub(crate) const ACCESS_TTL: Duration = Duration::from_secs(604_800);
/// Entries of each kind; the oldest go first.
const KEPT: usize = 10_000;

/// What an application may ask to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Identify,
    Email,
    Guilds,
    GuildsMembersRead,
    Connections,
    Openid,
}

/// A checked request for consent.
#[derive(Clone, Debug)]
pub(crate) struct Consent {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) challenge: Option<Challenge>,
}

/// The PKCE challenge that the code's exchange must answer.
///
/// <https://www.rfc-editor.org/rfc/rfc7636>
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Plain(String),
    S256(String),
}

/// What a code or refresh token was exchanged for.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) scopes: Vec<Scope>,
}

/// All consents, codes and tokens. Forgotten when the sandbox ends.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    tickets: HashMap<String, (Instant, Consent)>,
    codes: HashMap<String, (Instant, Id, Consent)>,
    access: HashMap<String, (Instant, Grant)>,
    refresh: HashMap<String, (Instant, Grant)>,
}

/// One person's consent as a pair of tokens stands for it.
#[derive(Clone, Debug)]
struct Grant {
    user: Id,
    scopes: Vec<Scope>,
    access: String,
    refresh: String,
}

impl Scope {
    /// Reads a space-separated list; `Err` names the first that is not known.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut scopes = Vec::new();
        for name in text.split_whitespace() {
            let scope = match name {
                "identify" => Self::Identify,
                "email" => Self::Email,
                "guilds" => Self::Guilds,
                "guilds.members.read" => Self::GuildsMembersRead,
                "connections" => Self::Connections,
                "openid" => Self::Openid,
                _ => return Err(name.to_owned()),
            };
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(scopes)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Email => "email",
            Self::Guilds => "guilds",
            Self::GuildsMembersRead => "guilds.members.read",
            Self::Connections => "connections",
            Self::Openid => "openid",
        }
    }

    /// As the token answer spells a list.
    pub(crate) fn join(scopes: &[Self]) -> String {
        scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ")
    }
}

impl Challenge {
    fn is_met_by(&self, verifier: &str) -> bool {
        match self {
            Self::Plain(expected) => expected == verifier,
            Self::S256(expected) => *expected == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
        }
    }
}

impl Grants {
    /// Puts a consent aside while the person decides; the ticket is the way back to it.
    pub(crate) fn ask(&mut self, consent: Consent) -> String {
        let ticket = secret();
        insert(&mut self.tickets, ticket.clone(), (Instant::now(), consent), |entry| entry.0);
        ticket
    }

    /// Takes a consent that was put aside.
    pub(crate) fn answer(&mut self, ticket: &str) -> Option<Consent> {
        let (asked, consent) = self.tickets.remove(ticket)?;
        (asked.elapsed() < TICKET_TTL).then_some(consent)
    }

    /// The code that a person's yes is worth.
    pub(crate) fn approve(&mut self, user: Id, consent: Consent) -> String {
        let code = secret();
        insert(&mut self.codes, code.clone(), (Instant::now(), user, consent), |entry| entry.0);
        code
    }

    /// Exchanges a code, once. `None` is `invalid_grant`.
    pub(crate) fn redeem(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Option<Tokens> {
        let (given, user, consent) = self.codes.remove(code)?;
        let proven = match (&consent.challenge, verifier) {
            (None, _) => true,
            (Some(challenge), Some(verifier)) => challenge.is_met_by(verifier),
            (Some(_), None) => false,
        };
        let valid = given.elapsed() < CODE_TTL && consent.redirect_uri == redirect_uri && proven;
        valid.then(|| self.issue(user, consent.scopes))
    }

    /// Exchanges a refresh token for a new pair; the old pair ends.
    pub(crate) fn refresh(&mut self, refresh: &str) -> Option<Tokens> {
        let (_, grant) = self.refresh.remove(refresh)?;
        self.access.remove(&grant.access);
        Some(self.issue(grant.user, grant.scopes))
    }

    /// Ends a pair by either of its tokens.
    pub(crate) fn revoke(&mut self, token: &str) {
        let grant =
            self.access.get(token).or_else(|| self.refresh.get(token)).map(|(_, grant)| grant.clone());
        if let Some(grant) = grant {
            self.access.remove(&grant.access);
            self.refresh.remove(&grant.refresh);
        }
    }

    /// Whose access token this is, and what it allows.
    pub(crate) fn of_access_token(&self, token: &str) -> Option<(Id, Vec<Scope>)> {
        let (issued, grant) = self.access.get(token)?;
        (issued.elapsed() < ACCESS_TTL).then(|| (grant.user, grant.scopes.clone()))
    }

    fn issue(&mut self, user: Id, scopes: Vec<Scope>) -> Tokens {
        let (access, refresh) = (secret(), secret());
        let grant = Grant { user, scopes: scopes.clone(), access: access.clone(), refresh: refresh.clone() };
        let now = Instant::now();
        insert(&mut self.access, access.clone(), (now, grant.clone()), |entry| entry.0);
        insert(&mut self.refresh, refresh.clone(), (now, grant), |entry| entry.0);
        Tokens { access, refresh, scopes }
    }
}

fn insert<T>(map: &mut HashMap<String, T>, key: String, value: T, age: impl Fn(&T) -> Instant) {
    if map.len() >= KEPT {
        let oldest = map.iter().min_by_key(|(_, entry)| age(entry)).map(|(key, _)| key.clone());
        oldest.and_then(|key| map.remove(&key));
    }
    map.insert(key, value);
}

/// 160 random bits, spelled so that they fit into a URL.
fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 20]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "http://localhost/callback";

    fn consent(challenge: Option<Challenge>) -> Consent {
        Consent { redirect_uri: HERE.to_owned(), state: None, scopes: vec![Scope::Identify], challenge }
    }

    #[test]
    fn a_code_is_good_once_for_its_redirect_and_its_verifier() {
        // The pair of RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let s256 = Challenge::S256("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned());
        let plain = Challenge::Plain("abc".to_owned());
        for (challenge, redirect, given, valid) in [
            (None, HERE, None, true),
            (None, HERE, Some("whatever"), true),
            (None, "http://localhost/other", None, false),
            (Some(s256.clone()), HERE, Some(verifier), true),
            (Some(s256.clone()), HERE, Some("wrong"), false),
            (Some(s256), HERE, None, false),
            (Some(plain.clone()), HERE, Some("abc"), true),
            (Some(plain), HERE, Some("abd"), false),
        ] {
            let mut grants = Grants::default();
            let code = grants.approve(Id(1), consent(challenge.clone()));
            assert_eq!(
                grants.redeem(&code, redirect, given).is_some(),
                valid,
                "{challenge:?} {redirect} {given:?}"
            );
            assert!(grants.redeem(&code, redirect, given).is_none(), "used twice");
        }
    }

    #[test]
    fn a_refresh_ends_the_old_pair_and_a_revocation_the_new_one() {
        let mut grants = Grants::default();
        let code = grants.approve(Id(1), consent(None));
        let first = grants.redeem(&code, HERE, None).expect("valid");
        let second = grants.refresh(&first.refresh).expect("valid");
        assert!(grants.of_access_token(&first.access).is_none());
        assert!(grants.refresh(&first.refresh).is_none());
        assert_eq!(grants.of_access_token(&second.access), Some((Id(1), vec![Scope::Identify])));
        grants.revoke(&second.refresh);
        assert!(grants.of_access_token(&second.access).is_none());
    }

    #[test]
    fn scopes_are_read_strictly() {
        assert_eq!(Scope::parse_list("identify  guilds identify"), Ok(vec![Scope::Identify, Scope::Guilds]));
        assert_eq!(Scope::parse_list("identify bot"), Err("bot".to_owned()));
    }
}
