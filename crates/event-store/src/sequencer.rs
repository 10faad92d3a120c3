//! Checks of appends, and their places (I1, I9).
