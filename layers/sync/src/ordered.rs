//! A map that is read in the order of insertion.
//!
//! A value that is written again keeps its place; one that was removed and comes back goes to the end.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

#[derive(Debug, Clone)]
pub(crate) struct Ordered<K, V> {
    values: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V> Ordered<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.values.contains_key(key)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
            return;
        }
        self.order.insert(self.next, key.clone());
        self.values.insert(key, (self.next, value));
        self.next += 1;
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (place, value) = self.values.remove(key)?;
        self.order.remove(&place);
        Some(value)
    }

    /// The first of all.
    pub(crate) fn first(&self) -> Option<&K> {
        self.order.values().next()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.order.values()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.keys().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// All keys, and nothing is left.
    pub(crate) fn take_keys(&mut self) -> Vec<K> {
        self.values.clear();
        std::mem::take(&mut self.order).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_place_until_it_is_removed() {
        let mut map = Ordered::default();
        for (key, value) in [("b", 1), ("a", 2), ("b", 3)] {
            map.insert(key, value);
        }
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"b", &3), (&"a", &2)]);
        assert_eq!(map.remove(&"b"), Some(3));
        map.insert("b", 4);
        *map.get_mut(&"b").unwrap() += 1;
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"a", &2), (&"b", &5)]);
        assert_eq!((map.first(), map.len()), (Some(&"a"), 2));
        assert_eq!(map.take_keys(), ["a", "b"]);
        assert!(map.is_empty() && !map.contains(&"a"));
    }
}
