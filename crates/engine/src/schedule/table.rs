//! Vectors that take the index type of what they describe.

use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

use diagram::{EdgeIndex, NodeIndex};

/// One `T` for each `K` of one graph.
#[derive(Debug)]
pub(super) struct Table<K, T> {
    items: Vec<T>,
    key: PhantomData<fn(K)>,
}

pub(super) trait Key: Copy {
    fn position(self) -> usize;
}

// === impl Table ===

impl<K: Key, T: Default> Table<K, T> {
    pub(super) fn filled(len: usize) -> Self {
        Self { items: std::iter::repeat_with(T::default).take(len).collect(), key: PhantomData }
    }
}

impl<K: Key, T> Index<K> for Table<K, T> {
    type Output = T;

    #[expect(
        clippy::indexing_slicing,
        reason = "a table is as long as its graph, and keys come from that graph"
    )]
    fn index(&self, key: K) -> &T {
        &self.items[key.position()]
    }
}

impl<K: Key, T> IndexMut<K> for Table<K, T> {
    #[expect(
        clippy::indexing_slicing,
        reason = "a table is as long as its graph, and keys come from that graph"
    )]
    fn index_mut(&mut self, key: K) -> &mut T {
        &mut self.items[key.position()]
    }
}

// === impl Key ===

impl Key for NodeIndex {
    fn position(self) -> usize {
        self.index()
    }
}

impl Key for EdgeIndex {
    fn position(self) -> usize {
        self.index()
    }
}
