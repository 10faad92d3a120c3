//! Looks into the log at any point of it, and carries whole runs in and out.
