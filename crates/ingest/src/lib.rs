//! Takes the events of outside engines, so that any engine can be watched.
