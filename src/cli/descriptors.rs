//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what the system allows. The usual 1,024 are there for the sake of `select`, which nothing here calls, and a recorder has
/// a socket for each address of each connection and a file for each track.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!("the limit of descriptors stays {current:?}: {e}");
    }
}
