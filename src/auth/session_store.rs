//! Where sessions are kept: in the cookie itself, or in Redis, where all web roles find them and an end is an end.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_session::storage::{
    CookieSessionStore, LoadError, RedisSessionStore, SaveError, SessionKey, SessionStore as Store,
    UpdateError,
};
use actix_web::cookie;
use anyhow::{Context as _, anyhow};
use redis::{
    AsyncCommands as _, Client, RedisResult,
    aio::MultiplexedConnection,
    streams::{StreamMaxlen, StreamReadOptions, StreamReadReply},
};
use secrecy::{ExposeSecret, SecretString};

/// Redis answers in far less, or is in trouble.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long Redis may keep a reader waiting for news.
const NEWS_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a reader that failed tries again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// The Redis stream of sessions that were ended.
const ENDED: &str = "guildstream:ended-sessions";
/// The key in a session's state that says it could not be read. Redis trouble must not look like a sign-out.
const UNREADABLE: &str = "unreadable";

type State = HashMap<String, String>;

/// Keeps sessions.
#[derive(Clone)]
pub struct SessionStore {
    redis: Option<Arc<Redis>>,
}

struct Redis {
    url: SecretString,
    /// Connected when it is needed, so that the role starts without Redis. Let go at the first sign of trouble: by
    /// itself it would not try again for up to a minute.
    sessions: Mutex<Option<RedisSessionStore>>,
    in_trouble: AtomicBool,
}

/// A session that was ended by a sign-out or a new sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession {
    /// Which one.
    pub sid: String,
    /// When it would have ended by itself, in seconds since the Unix epoch.
    pub exp: u64,
}

impl SessionStore {
    /// In Redis at `url`, or in the cookie.
    #[must_use]
    pub fn new(redis_url: Option<&SecretString>) -> Self {
        let redis = |url: &SecretString| {
            Arc::new(Redis {
                url: url.clone(),
                sessions: Mutex::default(),
                in_trouble: AtomicBool::new(false),
            })
        };
        Self { redis: redis_url.map(redis) }
    }

    /// Whether a session could not be read.
    #[must_use]
    pub fn is_unreadable(session: &actix_session::Session) -> bool {
        session.contains_key(UNREADABLE)
    }

    /// Whether sessions can be kept now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub async fn reachable(&self) -> anyhow::Result<()> {
        let Some(redis) = &self.redis else { return Ok(()) };
        redis.answers(async { redis.connection().await?.ping::<()>().await.map_err(Into::into) }).await
    }

    /// Tells all web roles.
    ///
    /// # Errors
    ///
    /// When Redis does not take it.
    pub async fn announce_end(&self, ended: &EndedSession) -> anyhow::Result<()> {
        let Some(redis) = &self.redis else { return Ok(()) };
        let fields = [("sid", ended.sid.clone()), ("exp", ended.exp.to_string())];
        let kept = StreamMaxlen::Approx(super::session::REMEMBERED);
        redis
            .answers(async {
                let mut connection = redis.connection().await?;
                connection.xadd_maxlen::<_, _, _, _, ()>(ENDED, kept, "*", &fields).await.map_err(Into::into)
            })
            .await
    }

    /// Hears of every session that any web role ended, also of those that ended while Redis could not be reached.
    /// Runs until it is dropped; without Redis there is nothing to hear.
    pub async fn follow_ends(&self, mut heard: impl FnMut(EndedSession)) {
        let Some(redis) = &self.redis else { return };
        let mut position = "0".to_owned();
        loop {
            if let Err(error) = redis.read_ends(&mut position, &mut heard).await {
                log::debug!("[Session] Ended sessions cannot be followed: {error:#}");
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }
}

impl Redis {
    /// Runs `asked` with a deadline; says once when trouble begins and ends.
    async fn answers<T>(&self, asked: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer in {} s", ANSWER_TIMEOUT.as_secs())));
        if answer.is_err() {
            *self.lock() = None;
        }
        let was_in_trouble = self.in_trouble.swap(answer.is_err(), Ordering::Relaxed);
        match &answer {
            Err(error) if !was_in_trouble => {
                log::error!("[Session] Redis (REDIS_URL) is in trouble: {error:#}");
            }
            Ok(_) if was_in_trouble => log::info!("[Session] Redis answers again"),
            _ => {}
        }
        answer.context("redis is in trouble")
    }

    async fn sessions(&self) -> anyhow::Result<RedisSessionStore> {
        if let Some(sessions) = self.lock().clone() {
            return Ok(sessions);
        }
        let sessions = RedisSessionStore::builder(self.url.expose_secret());
        let sessions = sessions.cache_keygen(|key| format!("guildstream:session:{key}")).build().await?;
        *self.lock() = Some(sessions.clone());
        Ok(sessions)
    }

    fn lock(&self) -> MutexGuard<'_, Option<RedisSessionStore>> {
        // A whole value is put in or taken out: nothing can be left half done.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        Client::open(self.url.expose_secret())?.get_multiplexed_async_connection().await
    }

    async fn read_ends(
        &self,
        position: &mut String,
        heard: &mut impl FnMut(EndedSession),
    ) -> anyhow::Result<()> {
        let mut connection = tokio::time::timeout(ANSWER_TIMEOUT, self.connection()).await??;
        let keys = [ENDED];
        let block = StreamReadOptions::default().count(1000).block(NEWS_TIMEOUT.as_millis().try_into()?);
        loop {
            let after = [position.clone()];
            let news = connection.xread_options(&keys, &after, &block);
            let news: Option<StreamReadReply> =
                tokio::time::timeout(NEWS_TIMEOUT + ANSWER_TIMEOUT, news).await??;
            for entry in news.into_iter().flat_map(|news| news.keys).flat_map(|stream| stream.ids) {
                if let (Some(sid), Some(exp)) = (entry.get("sid"), entry.get("exp")) {
                    heard(EndedSession { sid, exp });
                }
                *position = entry.id;
            }
        }
    }
}

impl Store for SessionStore {
    /// Never fails for Redis's sake: what cannot be read is marked, so that each route can answer in its own way.
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let Some(redis) = &self.redis else { return CookieSessionStore::default().load(key).await };
        let load = async {
            match redis.sessions().await?.load(key).await {
                Err(LoadError::Other(error)) => Err(error),
                loaded => Ok(loaded),
            }
        };
        let unreadable = |_| Ok(Some(State::from([(UNREADABLE.to_owned(), "true".to_owned())])));
        redis.answers(load).await.unwrap_or_else(unreadable)
    }

    async fn save(&self, state: State, ttl: &cookie::time::Duration) -> Result<SessionKey, SaveError> {
        let Some(redis) = &self.redis else { return CookieSessionStore::default().save(state, ttl).await };
        let save = async { Ok(redis.sessions().await?.save(state, ttl).await?) };
        redis.answers(save).await.map_err(SaveError::Other)
    }

    async fn update(
        &self,
        key: SessionKey,
        state: State,
        ttl: &cookie::time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        let Some(redis) = &self.redis else {
            return CookieSessionStore::default().update(key, state, ttl).await;
        };
        let update = async { Ok(redis.sessions().await?.update(key, state, ttl).await?) };
        redis.answers(update).await.map_err(UpdateError::Other)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &cookie::time::Duration) -> anyhow::Result<()> {
        let Some(redis) = &self.redis else {
            return CookieSessionStore::default().update_ttl(key, ttl).await;
        };
        redis.answers(async { redis.sessions().await?.update_ttl(key, ttl).await }).await
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        let Some(redis) = &self.redis else { return CookieSessionStore::default().delete(key).await };
        redis.answers(async { redis.sessions().await?.delete(key).await }).await
    }
}
