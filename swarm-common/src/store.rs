//! The store: one directory that holds a swarm (DESIGN 3). Finding it, making it, and refusing one that is not safe. What lies in
//! it belongs to others: the journal, the cursors, the windows.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::config::Config;
use crate::exit::Failure;
use crate::files;
use crate::journal::Journal;

/// What a store is called where nobody chose a name.
pub const NAME: &str = ".swarm";

/// The variable that names the store.
pub const VARIABLE: &str = "SWARM_STORE";

/// What lies in a store. A directory with other things in it, and without a journal, is taken for a slip.
const ENTRIES: [&str; 7] = [".gitignore", "config.toml", "journal", "locks", "agents", "rate", "cursors"];

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
        Store::at(dir)
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

    /// Its journal.
    pub fn journal(&self) -> Journal {
        Journal::at(self.dir.join("journal"), self.config.journal.clone())
    }

    /// Where cursors lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn cursors_dir(&self) -> Result<PathBuf, Failure> {
        self.below("cursors")
    }

    /// Where shared rate limits lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn rate_dir(&self) -> Result<PathBuf, Failure> {
        self.below("rate")
    }

    /// Where the leases lie.
    ///
    /// # Errors
    /// Status 3 when it is missing and cannot be made.
    pub fn locks_dir(&self) -> Result<PathBuf, Failure> {
        self.below("locks")
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
        let here = here().ok()?;
        let git_dir = here.ancestors().find_map(|above| linked(&above.join(".git")))?.git_dir;
        git_dir.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    fn below(&self, name: &str) -> Result<PathBuf, Failure> {
        let dir = self.dir.join(name);
        files::create_dir(&dir).map_err(|error| Failure::io(format_args!("make {}", dir.display()), &error))?;
        Ok(dir)
    }
}

/// The current directory: without a symbolic link in it, as getcwd(2) tells it.
fn here() -> Result<PathBuf, Failure> {
    env::current_dir().map_err(|error| Failure::io("learn the current directory", &error))
}

/// Where the store is, or is to be.
fn place(given: Option<&OsStr>) -> Result<PathBuf, Failure> {
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
        if beside_git.is_none()
            && let Some(root) = git_root(above)
        {
            // A store further up must not come between a worktree and the swarm of its repository.
            let candidate = root.join(NAME);
            if fs::symlink_metadata(&candidate).is_ok() {
                return Ok(candidate);
            }
            beside_git = Some(candidate);
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

/// Keeps git out of it. Another process may do the same at the same time.
fn ignore(dir: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(".gitignore")) {
        Ok(mut file) => file.write_all(b"*\n"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses what others could use to read or write in our name.
fn check(dir: &Path) -> Result<(), Failure> {
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
        // Made by hand, perhaps. Where it cannot be written (a read-only disk), git is not our worry.
        if !dir.join(".gitignore").exists() {
            let _ = ignore(dir);
        }
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
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    fn open(dir: &Path) -> Result<Store, Failure> {
        Store::open(Some(dir.as_os_str()))
    }

    fn git(dir: &Path, args: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(dir).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]).args(args);
        let done = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git runs");
        assert!(done.status.success(), "{done:?}");
    }

    #[test]
    fn a_missing_store_is_made_for_its_owner_alone_and_git_ignores_it() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = top.path().join("a/b");
        let store = open(&dir).expect("made");
        assert_eq!(fs::metadata(store.dir()).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(dir.join(".gitignore")).expect("there"), "*\n");
        let cursors = store.cursors_dir().expect("made");
        assert_eq!(fs::metadata(&cursors).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(store.cursors_dir(), Ok(cursors), "and is found again");
    }

    #[test]
    fn a_link_a_file_a_store_that_others_may_write_to_and_one_of_another_user_are_refused() {
        let top = tempfile::tempdir().expect("a directory");
        let real = top.path().join("real");
        open(&real).expect("made");
        let link = top.path().join("link");
        symlink(&real, &link).expect("linked");
        symlink(top.path().join("nowhere"), top.path().join("dangling")).expect("linked");
        fs::write(top.path().join("file"), "").expect("written");
        for (name, why) in [("link", "symbolic link"), ("link/", "symbolic link"), ("dangling", "symbolic link"), ("file", "no directory")]
        {
            let failure = open(&top.path().join(name)).expect_err(name);
            assert_eq!(failure.exit.status(), 3);
            assert!(failure.what.contains(why), "{name}: {}", failure.what);
        }
        assert!(!top.path().join("nowhere").exists());
        for mode in [0o770, 0o702] {
            fs::set_permissions(&real, fs::Permissions::from_mode(mode)).expect("changed");
            let failure = open(&real).expect_err("open to others");
            assert!(failure.what.contains(&format!("mode {mode:o}")) && failure.hint.contains("chmod 700"), "{failure:?}");
        }
        // The root directory belongs to root; a root that runs this gives a directory away instead.
        let others = if geteuid().is_root() {
            let others = top.path().join("others");
            fs::create_dir(&others).expect("made");
            std::os::unix::fs::chown(&others, Some(12345), None).expect("given away");
            others
        } else {
            PathBuf::from("/")
        };
        let failure = open(&others).expect_err("another's");
        assert!(failure.what.contains("belongs to user"), "{}", failure.what);
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_no_store() {
        let top = tempfile::tempdir().expect("a directory");
        fs::write(top.path().join("Cargo.toml"), "").expect("written");
        let failure = open(top.path()).expect_err("a project");
        assert!(failure.what.contains("Cargo.toml") && failure.hint.contains("/.swarm"), "{failure:?}");
        assert!(!top.path().join(".gitignore").exists());
    }

    #[test]
    fn the_nearest_store_upwards_is_found_else_the_place_beside_git() {
        let top = tempfile::tempdir().expect("a directory");
        let top = fs::canonicalize(top.path()).expect("real");
        let deep = top.join("repo/src/deep");
        fs::create_dir_all(&deep).expect("made");
        if top.ancestors().all(|above| !above.join(".git").exists() && !above.join(NAME).exists()) {
            let failure = find(&deep).expect_err("none");
            assert!(failure.exit.status() == 2 && failure.hint.contains("--store"), "{failure:?}");
        }
        git(&top.join("repo"), &["init", "-q"]);
        assert_eq!(find(&deep), Ok(top.join("repo/.swarm")));
        fs::create_dir(top.join(NAME)).expect("made");
        assert_eq!(find(&deep), Ok(top.join(NAME)), "what is there goes before what would be made");
        fs::create_dir(top.join("repo/src/.swarm")).expect("made");
        assert_eq!(find(&deep), Ok(top.join("repo/src/.swarm")), "the nearest");
    }

    #[test]
    fn all_worktrees_of_a_repository_share_the_main_ones_store() {
        let top = tempfile::tempdir().expect("a directory");
        let top = fs::canonicalize(top.path()).expect("real");
        let (main, bare) = (top.join("main"), top.join("bare.git"));
        fs::create_dir(&main).expect("made");
        git(&main, &["init", "-q"]);
        git(&main, &["commit", "-q", "--allow-empty", "-m", "first"]);
        git(&main, &["worktree", "add", "-q", "../linked"]);
        assert_eq!(find(&top.join("linked")), Ok(main.join(NAME)));
        // A store further up is not nearer than the repository's own.
        fs::create_dir(top.join(NAME)).expect("made");
        fs::create_dir(main.join(NAME)).expect("made");
        assert_eq!(find(&top.join("linked")), Ok(main.join(NAME)));
        fs::remove_dir(top.join(NAME)).expect("removed");
        git(&top, &["clone", "-q", "--bare", "main", "bare.git"]);
        git(&bare, &["worktree", "add", "-q", "../of-bare", "-b", "x"]);
        assert_eq!(find(&top.join("of-bare")), Ok(bare.join(NAME)));
        fs::remove_dir_all(&bare).expect("removed");
        assert_eq!(find(&top.join("of-bare")), Ok(top.join("of-bare/.swarm")), "a broken link is no reason not to work");
    }
}
