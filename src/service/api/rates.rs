//! How often each key may ask: as many requests a minute as it is allowed, also all at once.

use super::problem::Problem;
use crate::service::database::keys::ApiKey;
use crate::service::model::Id;
use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Keys whose requests are counted; beyond, all counts begin again.
const MOST_KEYS: usize = 10_000;

/// Counts requests by key.
#[derive(Clone)]
pub struct RateLimits {
    /// Requests a minute, where the key says nothing; 0: any number.
    per_minute: Arc<AtomicU32>,
    limiters: Arc<Mutex<HashMap<Id, Counted>>>,
}

struct Counted {
    per_minute: u32,
    limiter: DefaultDirectRateLimiter,
}

impl RateLimits {
    /// With this many requests a minute for keys that say nothing; 0: any number.
    pub fn new(per_minute: u32) -> RateLimits {
        RateLimits { per_minute: Arc::new(per_minute.into()), limiters: Arc::default() }
    }

    /// The same number from now on.
    pub fn set(&self, per_minute: u32) {
        self.per_minute.store(per_minute, Ordering::Relaxed);
    }

    /// Counts a request of this key.
    ///
    /// # Errors
    /// It has asked too often (429).
    pub(super) fn count(&self, key: &ApiKey) -> Result<(), Problem> {
        let usual = self.per_minute.load(Ordering::Relaxed);
        let Some(per_minute) = NonZeroU32::new(key.rate_limit.unwrap_or(usual)) else { return Ok(()) };
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Only tokens of ever new subjects come here.
        if limiters.len() >= MOST_KEYS && !limiters.contains_key(&key.id) {
            limiters.clear();
        }
        let new =
            || Counted { per_minute: per_minute.get(), limiter: RateLimiter::direct(Quota::per_minute(per_minute)) };
        let counted = limiters.entry(key.id.clone()).or_insert_with(new);
        if counted.per_minute != per_minute.get() {
            *counted = new();
        }
        counted.limiter.check().map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(60).saturating_add(1);
            let detail = format!("this key may ask {per_minute} times a minute");
            Problem::later(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail, seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn each_key_has_its_own_limit() {
        let key = |rate_limit: Option<u32>| ApiKey {
            id: Id::new(Id::KEY),
            name: "a".into(),
            project: "default".into(),
            scopes: Vec::new(),
            rate_limit,
            created_at: Timestamp::UNIX_EPOCH,
            revoked_at: None,
        };
        let limits = RateLimits::new(2);
        let (usual, more, any) = (key(None), key(Some(3)), key(Some(0)));
        assert!((0..2).all(|_| limits.count(&usual).is_ok()) && limits.count(&usual).is_err());
        assert!((0..3).all(|_| limits.count(&more).is_ok()) && limits.count(&more).is_err());
        assert!((0..50).all(|_| limits.count(&any).is_ok()));
        limits.set(4);
        assert!((0..4).all(|_| limits.count(&usual).is_ok()) && limits.count(&usual).is_err());
        let changed = ApiKey { rate_limit: Some(1), ..more };
        assert!(limits.count(&changed).is_ok() && limits.count(&changed).is_err());
    }
}
