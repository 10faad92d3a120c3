//! What SQLite's errors mean here.

use core_events::ports::LogProblemKind;
use rusqlite::{Error, ErrorCode, ffi};

/// Which kind of problem it is.
pub(crate) fn classify(error: &Error) -> LogProblemKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LogProblemKind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => LogProblemKind::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LogProblemKind::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => LogProblemKind::Corrupt,
        _ => LogProblemKind::Io,
    }
}

/// Whether the store itself is damaged, or no longer where it was: waiting does not help.
pub(crate) fn is_damage(error: &Error) -> bool {
    // The file was renamed or deleted while it was open.
    let moved = error.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_READONLY_DBMOVED);
    moved || classify(error) == LogProblemKind::Corrupt
}

/// In SQLite's words, which name no path.
pub(crate) fn words(error: &Error) -> String {
    match error.sqlite_error() {
        // Its own message may name the file; the code's never does.
        Some(error) => ffi::code_to_str(error.extended_code).to_owned(),
        None => error.to_string(),
    }
}
