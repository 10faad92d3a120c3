//! Reading from the store.
