//! The store: one directory that holds a swarm (DESIGN 3). Finding it, making it, and refusing one that is not safe. What lies in
//! it belongs to others: the journal, the cursors, the windows.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::config::Config;
use crate::exit::Failure;
use crate::files;
use crate::journal::Journal;
use crate::pending;

/// What a store is called where nobody chose a name.
pub const NAME: &str = ".swarm";

/// The variable that names the store.
pub const VARIABLE: &str = "SWARM_STORE";

/// What lies in a store. A directory with other things in it, and without a journal, is taken for a slip.
const ENTRIES: [&str; 9] = [".gitignore", "config.toml", "journal", "locks", "agents", "rate", "cursors", "delivery", "folds"];

/// A store that was found and may be used.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    config: Config,
}

impl Store {
    /// Finds the store: `given` (what `--store` says), else `$SWARM_STORE`, else the nearest `.swarm` upwards from the current
    /// directory, else beside `.git`; in a linked git worktree beside the main worktree's, so that all worktrees of a repository
    /// share one swarm. Makes it where it is missing, and reads its config.
    ///
    /// # Errors
    /// Status 2 when no place for a store is known, or its config is wrong; 3 when the store is not safe or cannot be used.
    pub fn open(given: Option<&OsStr>) -> Result<Store, Failure> {
        let dir = place(given)?;
        make(&dir)?;
        let store = Store::at(dir)?;
        // Made by hand, perhaps, or by somebody who was stopped in the midst of it. Where it cannot be written (a read-only disk), git is not
        // our worry.
        let _ = ignore(&store.dir);
        Ok(store)
    }

    /// As [`Store::open`], for who only looks: where there is no store yet, none is made, and `None` is the answer.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_to_read(given: Option<&OsStr>) -> Result<Option<Store>, Failure> {
        let dir = place(given)?;
        if fs::symlink_metadata(&dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        Store::at(dir).map(Some)
    }

    /// As [`Store::open`], for who only looks: where there is no store yet, none is made, and it is one with nothing in it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn look(given: Option<&OsStr>) -> Result<Store, Failure> {
        match Store::open_to_read(given)? {
            Some(store) => Ok(store),
            None => Ok(Store { dir: place(given)?, config: Config::default() }),
        }
    }

    fn at(dir: PathBuf) -> Result<Store, Failure> {
        check(&dir)?;
        let config = Config::read(&dir.join("config.toml"))?;
        Ok(Store { dir, config })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its `config.toml` says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its journal. Retention takes nothing of it that waits for an acknowledgement.
    pub fn journal(&self) -> Journal {
        let folds = self.folds_place();
        let needed = move |journal: &Journal| pending::look(&folds, journal).map(|fold| fold.state().needed());
        Journal::at(self.dir.join("journal"), self.config.journal.clone()).keeping(needed)
    }

    /// Where cursors lie, which may be missing.
    pub fn cursors_place(&self) -> PathBuf {
        self.dir.join("cursors")
    }

    /// Where cursors lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn cursors_dir(&self) -> Result<PathBuf, Failure> {
        made(self.cursors_place())
    }

    /// Where shared rate limits lie, which may be missing.
    pub fn rate_place(&self) -> PathBuf {
        self.dir.join("rate")
    }

    /// Where shared rate limits lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn rate_dir(&self) -> Result<PathBuf, Failure> {
        made(self.rate_place())
    }

    /// Where lies what was computed from the journal (see [`crate::fold`]), which may be missing.
    pub fn folds_place(&self) -> PathBuf {
        self.dir.join("folds")
    }

    /// Where the leases lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn locks_dir(&self) -> Result<PathBuf, Failure> {
        made(self.dir.join("locks"))
    }

    /// Where the agents' records lie, which may be missing.
    pub fn agents_place(&self) -> PathBuf {
        self.dir.join("agents")
    }

    /// Where the agents' records lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn agents_dir(&self) -> Result<PathBuf, Failure> {
        made(self.agents_place())
    }

    /// What lease paths are relative to (DESIGN 4): the directory that holds `.swarm`; where the store has another name, the top of the git
    /// worktree that the current directory lies in, else the current directory. In a linked worktree of the repository whose store this is:
    /// that worktree's top, so that one lease speaks of the file in all of them. Spelled as the current directory is; which may lie outside.
    ///
    /// # Errors
    /// Status 3 when the current directory or the store is gone.
    pub fn root(&self) -> Result<PathBuf, Failure> {
        let dir = fs::canonicalize(&self.dir).map_err(|error| Failure::io(format_args!("find {}", self.dir.display()), &error))?;
        root(&dir, &here()?)
    }

    /// The linked worktree that the current directory lies in, by the name git knows it by (`.git/worktrees/NAME`); `None` in the main one.
    pub fn worktree(&self) -> Option<String> {
        worktree(&here().ok()?)
    }
}

/// A directory of the store, made where it is missing.
fn made(dir: PathBuf) -> Result<PathBuf, Failure> {
    files::create_dir(&dir).map_err(|error| Failure::io(format_args!("make {}", dir.display()), &error))?;
    Ok(dir)
}

/// The current directory: without a symbolic link in it, as getcwd(2) tells it.
fn here() -> Result<PathBuf, Failure> {
    env::current_dir().map_err(|error| Failure::io("learn the current directory", &error))
}

/// Where the store is, or is to be: as [`Store::open`] finds it, which need not be there, nor safe.
///
/// # Errors
/// Status 2 when no place for a store is known.
pub fn place(given: Option<&OsStr>) -> Result<PathBuf, Failure> {
    match given.map(OsStr::to_owned).or_else(|| env::var_os(VARIABLE).filter(|dir| !dir.is_empty())) {
        Some(dir) if dir.is_empty() => Err(Failure::wrong("--store has an empty value").hint("name the store's directory")),
        // Rebuilt from its parts: behind `link/` lstat(2) would look through the link.
        Some(dir) => Ok(Path::new(&dir).components().collect()),
        None => find(&here()?),
    }
}

/// [`Store::root`] for somebody who works in `here`.
fn root(store: &Path, here: &Path) -> Result<PathBuf, Failure> {
    let is_ours = |git: &PathBuf| linked(git).is_some_and(|linked| linked.main.join(NAME) == store);
    let worktree = here.ancestors().find(|above| is_ours(&above.join(".git")));
    let top = || here.ancestors().find(|above| fs::symlink_metadata(above.join(".git")).is_ok());
    let holder = || store.parent().filter(|_| store.file_name() == Some(OsStr::new(NAME)));
    Ok(worktree.or_else(holder).or_else(top).unwrap_or(here).to_path_buf())
}

/// [`Store::worktree`] for somebody who works in `here`.
fn worktree(here: &Path) -> Option<String> {
    let linked = here.ancestors().find_map(|above| linked(&above.join(".git")))?;
    linked.git_dir.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Where the store is, or is to be, for somebody who works in `here`.
fn find(here: &Path) -> Result<PathBuf, Failure> {
    // Beside the nearest `.git`; of a linked worktree, the main one's.
    let mut beside_git = None;
    for above in here.ancestors() {
        let candidate = above.join(NAME);
        // A dangling link too: it has to be refused, not passed over.
        if fs::symlink_metadata(&candidate).is_ok() {
            return Ok(candidate);
        }
        if let Some(root) = git_root(above) {
            // A store further up must not come between a worktree and the swarm of its repository; not for a submodule in it either.
            let candidate = root.join(NAME);
            if fs::symlink_metadata(&candidate).is_ok() {
                return Ok(candidate);
            }
            beside_git.get_or_insert(candidate);
        }
    }
    beside_git.ok_or_else(|| {
        let what = format!("no store: {} is in no git repository, and there is no {NAME} in it or above", here.display());
        Failure::wrong(what)
            .hint(format!("make one here:  mkdir {NAME}\nor name one:    --store DIR, or {VARIABLE}=DIR in the environment"))
    })
}

/// The directory whose swarm is used in `dir`, if that is the top of a git worktree.
fn git_root(dir: &Path) -> Option<PathBuf> {
    let git = dir.join(".git");
    fs::symlink_metadata(&git).ok()?;
    Some(linked(&git).map_or_else(|| dir.to_path_buf(), |linked| linked.main))
}

/// A linked git worktree (gitrepository-layout(5)).
struct Linked {
    /// Its own git directory: `.git/worktrees/NAME` of the main worktree.
    git_dir: PathBuf,
    /// The main worktree; of a bare repository its own directory, the one place that all its worktrees share.
    main: PathBuf,
}

/// The linked worktree with this `.git` file. `None` for a main one, whose `.git` is a directory, for a submodule, whose `.git` file names a
/// git directory of its own, and where the link is broken.
fn linked(git: &Path) -> Option<Linked> {
    if !fs::symlink_metadata(git).ok()?.is_file() {
        return None;
    }
    let text = fs::read_to_string(git).ok()?;
    let git_dir = git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    let common = fs::read_to_string(git_dir.join("commondir")).ok()?;
    let common = fs::canonicalize(git_dir.join(common.trim_end_matches('\n'))).ok()?;
    let main = if common.file_name() == Some(OsStr::new(".git")) { common.parent()?.to_path_buf() } else { common };
    Some(Linked { git_dir, main })
}

/// Makes the store where it is missing.
fn make(dir: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(dir).is_ok() {
        return Ok(());
    }
    let failed = |error: io::Error| {
        Failure::io(format_args!("make the store {}", dir.display()), &error).hint(format!("another place: --store DIR, or {VARIABLE}=DIR"))
    };
    files::create_dir(dir).and_then(|()| ignore(dir)).map_err(failed)
}

/// Keeps git out of it, where the user has not written down what git shall do. Another process may do the same at the same time: both write
/// the same bytes to the same place.
fn ignore(dir: &Path) -> io::Result<()> {
    let path = dir.join(".gitignore");
    match fs::symlink_metadata(&path) {
        // Empty, it is what a full disk or a kill left of ours; and its first byte alone would do.
        Ok(meta) if meta.is_file() && meta.len() == 0 => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    files::open_or_create(&path)?.write_all(b"*\n")
}

/// Refuses what others could use to read or write in our name.
///
/// # Errors
/// Status 3, with what to do.
pub fn check(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    let refused = |why: String| Failure::system(format!("the store {shown} is refused: {why}"));
    let meta = fs::symlink_metadata(dir).map_err(|error| Failure::io(format_args!("use the store {shown}"), &error))?;
    if meta.is_symlink() {
        return Err(refused("it is a symbolic link, so it may lead anywhere".into()).hint("name the directory itself: --store DIR"));
    }
    if !meta.is_dir() {
        return Err(refused("it is no directory".into()).hint("name another: --store DIR"));
    }
    let me = geteuid().as_raw();
    if meta.uid() != me {
        return Err(
            refused(format!("it belongs to user {}, and you are user {me}", meta.uid())).hint("use a store of your own: --store DIR")
        );
    }
    if meta.mode() & 0o022 != 0 {
        let why = format!("others may write to it (mode {:03o})", meta.mode() & 0o777);
        return Err(refused(why).hint(format!("chmod 700 {shown}")));
    }
    if dir.file_name() == Some(OsStr::new(NAME)) {
        return Ok(());
    }
    match stranger(dir) {
        Some(name) => {
            let why = format!("it holds other things ({}), and no journal", name.display());
            Err(refused(why).hint(format!("a directory of its own:  --store {shown}/{NAME}")))
        }
        None => Ok(()),
    }
}

/// Something that does not belong in a store, in a directory without a journal: `--store .` shall not scatter files over a project.
fn stranger(dir: &Path) -> Option<std::ffi::OsString> {
    if dir.join("journal").is_dir() {
        return None;
    }
    fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name()).find(|name| !ENTRIES.iter().any(|ours| name == ours))
}

#[cfg(test)]
mod tests;
