//! Runs that terminals show at present.

use std::{collections::VecDeque, sync::Arc};

use core_events::{
    ExecutionId,
    ports::{CliSession, CliSessions, Clock, NewCliSession},
};
use parking_lot::Mutex;

/// The most sessions that are known at once; a terminal that was killed never ends its own.
const MAX_SESSIONS: usize = 100;

/// The sessions of this process' life.
#[derive(Debug)]
pub(crate) struct Sessions {
    clock: Arc<dyn Clock>,
    /// The newest is the last.
    sessions: Mutex<VecDeque<CliSession>>,
}

// === impl Sessions ===

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sessions: Mutex::default() }
    }
}

impl CliSessions for Sessions {
    fn register(&self, session: NewCliSession) -> CliSession {
        let session_id = format!("cli_{}", session.execution);
        let session = CliSession { session_id, session, started_at: self.clock.now() };
        let mut sessions = self.sessions.lock();
        sessions.retain(|other| other.session.execution != session.session.execution);
        if sessions.len() >= MAX_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back(session.clone());
        session
    }

    fn unregister(&self, execution: &ExecutionId) -> bool {
        let mut sessions = self.sessions.lock();
        let before = sessions.len();
        sessions.retain(|session| session.session.execution != *execution);
        sessions.len() < before
    }

    fn active(&self) -> Option<CliSession> {
        self.sessions.lock().back().cloned()
    }
}

#[cfg(test)]
mod tests {
    use core_events::ports::SystemClock;

    use super::*;

    fn session(name: &str) -> NewCliSession {
        NewCliSession {
            execution: ExecutionId::parse(name).unwrap(),
            diagram_name: "a".to_owned(),
            diagram_format: "LIGHT".to_owned(),
            diagram_data: None,
        }
    }

    #[test]
    fn the_newest_session_that_is_left_answers() {
        let sessions = Sessions::new(Arc::new(SystemClock));
        let active = || sessions.active().map(|session| session.session_id);
        assert_eq!(active(), None);
        assert_eq!(sessions.register(session("exec_1")).session_id, "cli_exec_1");
        sessions.register(session("exec_2"));
        assert_eq!(active().as_deref(), Some("cli_exec_2"));
        // Registered anew it is the newest, and there once.
        sessions.register(session("exec_1"));
        assert_eq!(active().as_deref(), Some("cli_exec_1"));
        assert!(sessions.unregister(&ExecutionId::parse("exec_1").unwrap()));
        assert!(!sessions.unregister(&ExecutionId::parse("exec_1").unwrap()));
        assert_eq!(active().as_deref(), Some("cli_exec_2"));
    }

    #[test]
    fn the_oldest_is_forgotten_beyond_the_bound() {
        let sessions = Sessions::new(Arc::new(SystemClock));
        for i in 0..=MAX_SESSIONS {
            sessions.register(session(&format!("exec_{i}")));
        }
        assert_eq!(sessions.sessions.lock().len(), MAX_SESSIONS);
        assert!(!sessions.unregister(&ExecutionId::parse("exec_0").unwrap()));
        assert!(sessions.unregister(&ExecutionId::parse("exec_1").unwrap()));
    }
}
