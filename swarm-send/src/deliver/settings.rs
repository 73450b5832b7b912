//! What a delivery needs to know beside its jobs.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use swarm_common::config::{Delivery, Tmux};
use swarm_common::exit::Failure;
use swarm_common::store::Store;

use super::guard;

/// For so long a pane that another sender holds is waited for: thirty senders at once are through in two seconds, or in five with long texts.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it is delivered, and where its own files lie.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of the store for locks, texts on their way, and who was woken.
    pub dir: PathBuf,
    /// Where the readers' cursors lie.
    pub cursors: PathBuf,
    /// `[tmux]`
    pub tmux: Tmux,
    /// `[delivery.KIND]`
    pub delivery: Delivery,
    /// `[agents] shells`, as the guard compares them.
    pub shells: String,
    /// For how long a pane that another sender holds is waited for.
    pub patience: Duration,
    /// The tmux that this process runs in.
    pub own: Option<Place>,
}

/// What `$TMUX` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server's socket.
    pub socket: PathBuf,
    /// The server's pid.
    pub pid: u32,
    /// The session's number.
    pub session: u32,
}

/// The directory of a store for what delivery keeps.
pub fn dir(store: &Store) -> PathBuf {
    store.dir().join("delivery")
}

impl Settings {
    /// Those of a store.
    ///
    /// # Errors
    /// Status 3 when the store's directory cannot be found any more.
    pub fn of(store: &Store) -> Result<Settings, Failure> {
        // tmux reads the texts, and its current directory is another one.
        let dir = std::path::absolute(store.dir()).map_err(|error| Failure::io(format_args!("find {}", store.dir().display()), &error))?;
        let config = store.config();
        Ok(Settings {
            dir: dir.join("delivery"),
            cursors: store.cursors_place(),
            tmux: config.tmux.clone(),
            delivery: config.delivery.clone(),
            shells: guard::shells(&config.agents.shells),
            patience: PATIENCE,
            own: env::var("TMUX").ok().and_then(|place| Place::parse(&place)),
        })
    }
}

impl Place {
    /// `SOCKET,PID,SESSION`; a socket may have commas.
    fn parse(text: &str) -> Option<Place> {
        let mut parts = text.rsplitn(3, ',');
        let (session, pid, socket) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Place { socket: Path::new(socket).to_path_buf(), pid, session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_place_is_read_from_the_right() {
        let place = |socket: &str| Some(Place { socket: socket.into(), pid: 12, session: 3 });
        assert_eq!(Place::parse("/tmp/tmux-0/default,12,3"), place("/tmp/tmux-0/default"));
        assert_eq!(Place::parse("/tmp/a,b,12,3"), place("/tmp/a,b"));
        assert_eq!(Place::parse("/tmp/a,b"), None);
        assert_eq!(Place::parse(""), None);
    }
}
