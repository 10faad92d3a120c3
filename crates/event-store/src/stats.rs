//! Figures of the store.
