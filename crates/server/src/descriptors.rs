//! How many connections the system's bound on open files and sockets has room for.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What runs are left, for the pipes of the processes that they start, if the bound is not too low for that.
const FOR_RUNS: u64 = 1024;

/// How many of `wanted` connections may be open, such that runs can still start processes: watching must not break
/// running (I12).
///
/// Where the present bound is too low and the system allows more, it is raised, for the whole process and what it starts.
pub(crate) fn room(wanted: usize) -> usize {
    let Ok((bound, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(FOR_RUNS).min(most);
    let raised = needed > bound && setrlimit(Resource::RLIMIT_NOFILE, needed, most).is_ok();
    let room = connections(if raised { needed } else { bound }, wanted);
    if room < wanted {
        tracing::info!(room, wanted, "the system's bound on open files has no room for as many connections");
    }
    room
}

/// With `bound` open files and sockets; runs get half if they can't get what they should.
fn connections(bound: u64, wanted: usize) -> usize {
    let room = bound - FOR_RUNS.min(bound / 2);
    usize::try_from(room).unwrap_or(usize::MAX).clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_get_their_part_of_the_bound() {
        for (bound, wanted, room) in [
            (u64::MAX, 10_240, 10_240),
            (20_000, 10_240, 10_240),
            (11_264, 10_240, 10_240),
            (4096, 10_240, 3072),
            (1024, 10_240, 512),
            (1024, 100, 100),
            (0, 100, 1),
        ] {
            assert_eq!(connections(bound, wanted), room, "{bound} {wanted}");
        }
    }
}
