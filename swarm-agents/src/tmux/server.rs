//! Which tmux servers are meant: `-L`, `-S`, else the one that this pane belongs to, else the default one.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::getuid;
use swarm_common::exit::Failure;

/// How a server came to be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By its name: `-L`.
    Name,
    /// By its socket: `-S`.
    Path,
    /// It is that of the pane we run in: `$TMUX`.
    Variable,
    /// Nothing else was said.
    Default,
}

/// A server, by its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it listens.
    pub socket: PathBuf,
    /// Who said so.
    pub source: Source,
}

impl Address {
    /// The one of this socket.
    pub fn path(socket: impl Into<PathBuf>) -> Address {
        Address { socket: socket.into(), source: Source::Path }
    }

    /// The server that tmux itself would take here.
    pub fn own() -> Address {
        match inside() {
            Some(inside) => Address { socket: inside.socket, source: Source::Variable },
            None => Address { socket: socket_of("default".as_ref()), source: Source::Default },
        }
    }
}

/// The servers of these names (`-L`) and sockets (`-S`), each once; without any, the one that tmux itself would take.
///
/// # Errors
/// Status 2 for what cannot be a name or a socket.
pub fn addresses(names: &[OsString], sockets: &[OsString]) -> Result<Vec<Address>, Failure> {
    let mut all: Vec<Address> = Vec::new();
    for name in names {
        if name.is_empty() || name.as_bytes().contains(&b'/') {
            return Err(
                Failure::wrong(format!("-L '{}': no name of a tmux server", name.display())).hint("a socket's path is given with -S")
            );
        }
        all.push(Address { socket: socket_of(name), source: Source::Name });
    }
    for socket in sockets {
        if socket.is_empty() {
            return Err(Failure::wrong("-S has an empty value").hint("the path of a tmux server's socket"));
        }
        all.push(Address::path(socket));
    }
    if all.is_empty() {
        all.push(Address::own());
    }
    let mut seen = Vec::new();
    all.retain(|address| {
        let real = fs::canonicalize(&address.socket).unwrap_or_else(|_| address.socket.clone());
        let is_new = !seen.contains(&real);
        seen.push(real);
        is_new
    });
    Ok(all)
}

/// The pane that this process runs in, as tmux says in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The server's socket.
    pub socket: PathBuf,
    /// The server's pid.
    pub server_pid: Option<u32>,
    /// `$TMUX_PANE`.
    pub pane_id: Option<String>,
}

/// `None` outside of tmux.
pub fn inside() -> Option<Inside> {
    let tmux = env::var_os("TMUX")?;
    let (socket, server_pid) = parted(tmux.as_bytes())?;
    Some(Inside { socket, server_pid, pane_id: env::var("TMUX_PANE").ok().filter(|id| !id.is_empty()) })
}

/// `socket,pid,session`: the last two commas part it.
fn parted(tmux: &[u8]) -> Option<(PathBuf, Option<u32>)> {
    let mut parts = tmux.rsplitn(3, |byte| *byte == b',').skip(1);
    let (pid, socket) = match (parts.next(), parts.next()) {
        (Some(pid), Some(socket)) => (std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok()), socket),
        _ => (None, tmux.split(|byte| *byte == b',').next()?),
    };
    (!socket.is_empty()).then(|| (OsString::from_vec(socket.to_vec()).into(), pid))
}

/// Where the server of a name listens: in `tmux-UID` of `$TMUX_TMPDIR`, if that is there, else of `/tmp`.
fn socket_of(name: &OsStr) -> PathBuf {
    let given = env::var_os("TMUX_TMPDIR").filter(|dir| !dir.is_empty()).and_then(|dir| fs::canonicalize(dir).ok());
    // As tmux has it: the path that the kernel knows (on macOS /tmp is a link).
    let top = given.or_else(|| fs::canonicalize("/tmp").ok()).unwrap_or_else(|| Path::new("/tmp").into());
    top.join(format!("tmux-{}", getuid())).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_parted_from_its_end() {
        let of = |tmux: &str| parted(tmux.as_bytes());
        assert_eq!(of("/tmp/tmux-0/default,71,0"), Some(("/tmp/tmux-0/default".into(), Some(71))));
        assert_eq!(of("/tmp/a,b/s,71,0"), Some(("/tmp/a,b/s".into(), Some(71))));
        assert_eq!(of("/tmp/s"), Some(("/tmp/s".into(), None)));
        assert_eq!(of("/tmp/s,x,0"), Some(("/tmp/s".into(), None)));
        assert_eq!((of(""), of(",1,2")), (None, None));
    }

    #[test]
    fn a_server_that_is_named_twice_is_asked_once_and_a_path_is_no_name() {
        let named = addresses(&["a".into(), "a".into()], &["/tmp/x".into(), "/tmp/x".into()]).expect("good");
        assert_eq!(named.iter().map(|address| address.source).collect::<Vec<_>>(), [Source::Name, Source::Path]);
        assert!(named[0].socket.ends_with(format!("tmux-{}/a", getuid())), "{named:?}");
        for (name, socket) in [("", "x"), ("a/b", "x"), ("a", "")] {
            assert!(addresses(&[name.into()], &[socket.into()]).is_err(), "{name} {socket}");
        }
    }
}
