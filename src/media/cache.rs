//! A cache of values that are expensive to make. When it is full, it is emptied: no clock, no order of use.

use crate::error::Result;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// A cache of a bounded number of values.
pub struct Cache<K, V> {
    capacity: usize,
    values: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// An empty cache for at most `capacity` values.
    pub fn new(capacity: usize) -> Cache<K, V> {
        Cache { capacity, values: HashMap::new() }
    }

    /// The value for `key`, made by `make` if it is missing.
    ///
    /// # Errors
    /// That of `make`.
    pub fn get(&mut self, key: K, make: impl FnOnce() -> Result<V>) -> Result<&mut V> {
        if self.values.len() >= self.capacity && !self.values.contains_key(&key) {
            self.values.clear();
        }
        Ok(match self.values.entry(key) {
            Entry::Occupied(value) => value.into_mut(),
            Entry::Vacant(free) => free.insert(make()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn it_keeps_what_it_has_and_never_too_much() {
        let mut cache = Cache::new(3);
        let made = |cache: &mut Cache<u32, u32>, key: u32| {
            let mut is_new = false;
            let value = *cache.get(key, || {
                is_new = true;
                Ok(key * 10)
            })?;
            Ok::<_, Error>((value, is_new))
        };
        for key in 0..3 {
            assert_eq!(made(&mut cache, key).unwrap(), (key * 10, true));
        }
        // Full, and none of it goes for what is there.
        assert_eq!(made(&mut cache, 1).unwrap(), (10, false));
        assert_eq!(made(&mut cache, 2).unwrap(), (20, false));
        assert_eq!(made(&mut cache, 7).unwrap(), (70, true));
        assert_eq!((made(&mut cache, 1).unwrap(), cache.values.len()), ((10, true), 2));
        assert!(cache.get(9, || Err(Error::internal("no"))).is_err() && cache.values.len() == 2);
    }
}
