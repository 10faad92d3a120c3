//! The observer of the unified path: every callback becomes a fact in the log, and from there reaches every transport.
//!
//! It knows the [`MessageRouter`](core_events::ports::MessageRouter) and no transport (I10).

mod unified_event_observer;

pub use unified_event_observer::UnifiedEventObserver;
