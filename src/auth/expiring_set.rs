//! A bounded memory of what may not be used again: ended sessions and answered sign-ins.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keys that are remembered until they expire. When it is full, the one that would expire first is forgotten.
#[derive(Debug)]
pub struct ExpiringSet {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    until: HashMap<String, u64>,
    order: BTreeSet<(u64, String)>,
}

impl ExpiringSet {
    /// An empty set that holds at most `capacity` keys.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// Remembers `key` until `expires`; false if it was already there. Both times are seconds since the Unix epoch.
    pub fn insert(&self, key: &str, expires: u64, now: u64) -> bool {
        let mut entries = self.lock();
        while entries.order.first().is_some_and(|(expires, _)| *expires <= now) {
            entries.forget_first();
        }
        if entries.until.contains_key(key) {
            return false;
        }
        if entries.until.len() >= self.capacity {
            entries.forget_first();
        }
        entries.until.insert(key.to_owned(), expires);
        entries.order.insert((expires, key.to_owned()));
        true
    }

    /// Whether `key` is remembered. Who asks has checked the key's own expiry.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.lock().until.contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // No code that holds the lock can leave an entry half made.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn forget_first(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.until.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once_until_it_expires() {
        let set = ExpiringSet::new(10);
        assert!(set.insert("a", 100, 0));
        assert!(!set.insert("a", 100, 99));
        assert!(set.contains("a"));
        assert!(set.insert("a", 200, 100));
    }

    #[test]
    fn a_full_set_forgets_what_expires_first() {
        let set = ExpiringSet::new(2);
        for (key, expires) in [("late", 300), ("soon", 100), ("new", 200)] {
            assert!(set.insert(key, expires, 0));
        }
        let kept: Vec<_> = ["late", "soon", "new"].into_iter().filter(|key| set.contains(key)).collect();
        assert_eq!(kept, ["late", "new"]);
        assert_eq!(set.lock().order.len(), 2);
    }
}
