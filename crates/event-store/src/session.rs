//! Who owns the store, and which life of it this is (I7).
