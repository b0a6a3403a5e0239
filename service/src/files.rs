//! Files that the process may have open, which connections and whatever is on the disk share.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the number of files that the process may have open as far as the system lets it: connections, segments and models
/// are more together than the 1024 that shells give. Where it cannot be raised, what is there has to do.
pub fn open_more() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "no more files can be opened than usual");
    }
}

/// How many of the connections that a door may have are possible: each door gets a third of the files that the process may have
/// open, and what is on the disk the last. The log tells where that is less than the setting says.
pub fn within_files(connections: usize, setting: &str) -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return connections;
    };
    let most = usize::try_from(files / 3).unwrap_or(usize::MAX).max(1);
    if most < connections {
        tracing::warn!(
            files,
            connections = most,
            "`{setting}` is {connections}, and the process may not open as many files; \
             `ulimit -n` or `LimitNOFILE` raises that"
        );
    }
    most.min(connections)
}
