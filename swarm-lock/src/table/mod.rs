//! The lease table on disk: files, who may change them, and how a change of several becomes one. It knows nothing of who may have what.
//!
//! ```text
//! lock            flock target; never renamed or removed
//! new             written, and not yet in force; or what was in force before
//! held/           a file a directory that has leases; a line is what one grant has in it. `src+auth.ndjson` is for src/auth
//! staged/         files of a change that is committed, on their way to held/
//! tokens          the next fencing token
//! queue/          a file a waiter, named by its arrival
//! ended           how the last grants ended, a slot each
//! agents/         a file an agent: what it is to be told
//! damaged/        what could not be read
//! ```
//!
//! **Where a lease lies.** A path lies in the file of its directory, a glob in that of its prefix: the leading components without special
//! characters. All that a pattern covers is below that directory. So what can meet a path `a/b` lies in the files of the root and `a`, which
//! are above it, or in those of `a/b` and below; of a glob the same with its prefix. A file is only made after those above it: where one is
//! missing, nothing is below, and an ordinary path reads its few ancestors and is done. Files stay, empty, until a sweep.
//!
//! **A change.** Writers hold `lock` alone, readers share it. A change of one file is written to `new`, and the two exchange their names (where the system
//! cannot do that, it is renamed over the other): that is the commit. What was in force before is then in `new`, and the next change writes over it. A change of several is written into `staging/`, whole; renaming that directory to `staged/` is the commit. Then each file is
//! renamed into `held/`, and the empty directory removed. Killed before the rename of the directory, nothing happened, and the next
//! writer clears `staging/` away. Killed after it, the next writer does the remaining renames before anything else, and a reader takes a file
//! from `staged/` first. Room on the disk is needed before the commit, and none after it.
//!
//! What stands beside the leases is written in the order in which each prefix of the writes is true enough: a token is taken before it is used,
//! an end is written down before the lease goes (the table overrules it).
//!
//! Nothing is synced but tokens: what a power cut takes, it takes from the holders too, for a lease of another boot has ended.

pub mod agent;
pub mod ended;
mod held;
pub mod name;
pub mod queue;
pub mod token;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use swarm_common::exit::{self, Failure};
use swarm_common::files;
use swarm_common::json::Scanner;
use swarm_common::platform;

use crate::clock::Clock;
use crate::lease::{self, Line};
use crate::pattern::{Pattern, ROOT};
use crate::table::held::Held;
use crate::table::queue::Waiter;

/// The table in one directory.
#[derive(Clone, Debug)]
pub struct Table {
    dir: PathBuf,
}

/// The table as it is while the lock is held.
pub struct View {
    dir: PathBuf,
    /// The moment at which all of it is judged.
    pub clock: Clock,
    held: Held,
    /// Those who wait.
    waiters: Option<Rc<[Waiter]>>,
    _lock: Option<File>,
}

/// The same for who may change it.
pub struct Writer {
    /// What there is.
    pub view: View,
}

/// A file's new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file in `held/`.
    pub name: String,
    /// All its lines, with their newlines.
    pub bytes: Vec<u8>,
}

impl Table {
    /// The table in `dir`, which the first grant makes.
    pub fn at(dir: PathBuf) -> Table {
        Table { dir }
    }

    /// Takes the lock shared, to look.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn read(&self) -> Result<View, Failure> {
        let path = self.dir.join("lock");
        let failed = |error: io::Error| Failure::io(format_args!("read the leases in {}", self.dir.display()), &error);
        let lock = files::open_if_there(&path).map_err(failed)?;
        lock.as_ref().map_or(Ok(()), |lock| files::lock_file(lock, false)).map_err(failed)?;
        View::new(&self.dir, lock).map_err(failed)
    }

    /// Takes the lock alone, to change something; a change that was committed and not carried out is carried out first.
    ///
    /// # Errors
    /// Status 3 when that cannot be.
    pub fn write(&self) -> Result<Writer, Failure> {
        let failed = |error: io::Error| Failure::io(format_args!("change the leases in {}", self.dir.display()), &error);
        let path = self.dir.join("lock");
        let lock = match files::lock(&path, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files::create_dir(&self.dir).and_then(|()| files::lock(&path, true)).map_err(failed)?
            }
            lock => lock.map_err(failed)?,
        };
        let mut view = View::new(&self.dir, Some(lock)).map_err(failed)?;
        if view.held.is_staged {
            carry_out(&self.dir).map_err(failed)?;
            view.held.is_staged = false;
        }
        Ok(Writer { view })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl View {
    fn new(dir: &Path, lock: Option<File>) -> io::Result<View> {
        let is_staged = dir.join("staged").symlink_metadata().is_ok();
        // The clock under the lock: who gets it later sees a later time.
        let clock = Clock::read().map_err(|failure| io::Error::other(failure.what))?;
        Ok(View { dir: dir.to_path_buf(), clock, held: Held::new(dir, is_staged), waiters: None, _lock: lock })
    }

    /// The table's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files in which there may be something that meets one of these. They are read.
    ///
    /// # Errors
    /// Status 3 when one cannot be read.
    pub fn near(&mut self, patterns: &[Pattern]) -> Result<Vec<String>, Failure> {
        let mut near = BTreeSet::new();
        'patterns: for pattern in patterns {
            let reach = reach(pattern);
            for dir in ancestors(reach) {
                let name = name::of(dir);
                if !self.load(&name)? {
                    // None below it either.
                    continue 'patterns;
                }
                near.insert(name);
            }
            // Its own file is there, so there may be some below.
            let names = self.held.names()?;
            for name in names.below(reach) {
                if self.load(name)? {
                    near.insert(name.clone());
                }
            }
        }
        Ok(near.into_iter().collect())
    }

    /// All files. They are read.
    ///
    /// # Errors
    /// Status 3 when one cannot be read.
    pub fn all(&mut self) -> Result<Vec<String>, Failure> {
        let names = self.held.names()?;
        for name in &names.all {
            self.load(name)?;
        }
        Ok(names.all.clone())
    }

    /// All of a file; nothing of one that was not read.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.held.bytes(name)
    }

    /// A file's lines; none of one that was not read.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        lines(self.bytes(name))
    }

    /// A file's lines, read; a line that makes no sense is none.
    pub fn rows<'a>(&'a self, name: &str) -> impl Iterator<Item = Option<Line<'a>>> + use<'a> {
        let mut scanner = Scanner::new();
        self.lines(name).map(move |line| lease::parse(line, &mut scanner))
    }

    /// Reads a file; false where there is none.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn load(&mut self, name: &str) -> Result<bool, Failure> {
        self.held.load(name)
    }

    /// Those who wait, in their order, the dead among them.
    ///
    /// # Errors
    /// Status 3 when they cannot be read.
    pub fn waiters(&mut self) -> Result<Rc<[Waiter]>, Failure> {
        if let Some(waiters) = &self.waiters {
            return Ok(waiters.clone());
        }
        let waiters = queue::list(&self.dir).map_err(|error| failed("read who waits", &self.dir, &error))?;
        Ok(self.waiters.insert(waiters.into()).clone())
    }
}

impl Writer {
    /// Takes a fencing token.
    ///
    /// # Errors
    /// Status 3 when it cannot be written down.
    pub fn token(&self, note: &mut dyn FnMut(&str)) -> Result<u64, Failure> {
        let dir = &self.view.dir;
        // Before the first grant there is no held/: a missing file of tokens is then no loss.
        let is_new = !dir.join("held").is_dir();
        token::take(&dir.join("tokens"), &self.view.clock, is_new, note).map_err(|error| failed("take a token", dir, &error))
    }

    /// Sets damaged files among these aside: what can be read in them stays, and a line that says so stands for the rest, until it is
    /// swept.
    ///
    /// # Errors
    /// Status 3 when that cannot be.
    pub fn set_aside(&mut self, names: &[String], note: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        for name in names {
            if self.view.rows(name).any(|row| row.is_none()) {
                self.set_one_aside(name, note)?;
            }
        }
        Ok(())
    }

    fn set_one_aside(&mut self, name: &str, note: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let dir = self.view.dir.clone();
        let aside = dir.join("damaged");
        let kept = self.view.bytes(name).to_vec();
        let copy = || -> io::Result<String> {
            files::create_dir(&aside)?;
            for n in 1.. {
                let copy = format!("{name}.{n}");
                match OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside.join(&copy)) {
                    Ok(mut file) => return file.write_all(&kept).map(|()| copy),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            Err(io::ErrorKind::AlreadyExists.into())
        };
        let copy = copy().map_err(|error| failed("set a damaged file aside", &dir, &error))?;
        let mut marker = Vec::new();
        lease::write_damaged(&copy, &mut marker);
        marker.push(b'\n');
        let mut good = Vec::new();
        for (line, row) in self.view.lines(name).zip(self.view.rows(name)) {
            if row.is_some() {
                good.extend_from_slice(line);
                good.push(b'\n');
            }
        }
        let mut changes = vec![Change { name: name.to_string(), bytes: good }];
        // Whose directory is not known may have held anything.
        let root = name::of("");
        if name != root && name::dir_of(name).is_none() {
            self.view.load(&root)?;
            let mut bytes = self.view.bytes(&root).to_vec();
            bytes.extend_from_slice(&marker);
            changes.push(Change { name: root, bytes });
        } else {
            changes[0].bytes.extend_from_slice(&marker);
        }
        self.commit(changes)?;
        // What was no file has changed places with the one that was written.
        let new = dir.join("new");
        if new.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
            clear_away(&new).map_err(|error| failed("set a damaged file aside", &dir, &error))?;
        }
        note(&format!(
            "{} is damaged: set aside as {}; what it may have held counts as held, until 'swarm-lock sweep --damaged'",
            dir.join("held").join(name).display(),
            aside.join(copy).display()
        ));
        Ok(())
    }

    /// Makes the changes, all of them or none.
    ///
    /// # Errors
    /// Status 3 when they cannot be made; none of them is.
    pub fn commit(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        let result = self.try_commit(&changes);
        if let Err(error) = result {
            let failure = failed("change the leases", &self.view.dir, &error);
            return Err(match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint("nothing was changed: make room and try again"),
                _ => failure,
            });
        }
        for Change { name, bytes } in changes {
            self.view.held.set(name, Some(&bytes));
        }
        Ok(())
    }

    fn try_commit(&mut self, changes: &[Change]) -> io::Result<()> {
        let dir = &self.view.dir;
        let held = dir.join("held");
        match changes {
            [] => Ok(()),
            [change] => {
                let (new, old) = (dir.join("new"), held.join(&change.name));
                write(&new, &change.bytes)?;
                match platform::exchange(&new, &old) {
                    Ok(()) => Ok(()),
                    // Not there yet, or the file system cannot do that.
                    Err(_) => rename(&new, &old, &held),
                }
            }
            changes => {
                let (staging, staged) = (dir.join("staging"), dir.join("staged"));
                match fs::create_dir(&staging) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        fs::remove_dir_all(&staging)?;
                        files::create_dir(&staging)?;
                    }
                    made => made?,
                }
                // Before the commit, so that nothing can go wrong behind it for want of room.
                files::create_dir(&held)?;
                for change in changes {
                    write(&staging.join(&change.name), &change.bytes)?;
                }
                wake(&held, changes);
                fs::rename(&staging, &staged)?;
                // From here on it is done, whatever happens: what is left, the next writer does.
                let _ = carry_out(dir);
                Ok(())
            }
        }
    }

    /// Sees to it that the files of `dir` and of those above it are there, the highest first.
    ///
    /// # Errors
    /// Status 3 when one cannot be made.
    pub fn make_ancestors(&mut self, dir: &str) -> Result<(), Failure> {
        for above in ancestors(dir) {
            let name = name::of(above);
            if self.view.load(&name)? {
                continue;
            }
            let held = self.view.dir.join("held");
            let path = held.join(&name);
            let create = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let created = match create() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => files::create_dir(&held).and_then(|()| create()),
                created => created,
            };
            created.map_err(|error| failed("change the leases", &self.view.dir, &error))?;
            self.view.held.set(name, Some(&[]));
        }
        Ok(())
    }

    /// Removes files without a line below which there are none.
    ///
    /// # Errors
    /// Status 3 when one cannot be removed.
    pub fn remove_empty(&mut self) -> Result<(), Failure> {
        let mut names = self.view.all()?;
        // The deepest first, so that the rule of the ancestors holds at every moment.
        names.sort_by_key(|name| std::cmp::Reverse(name::above(name).count()));
        // How deep a directory lies is not known of a name that was cut: any other that was cut to the same may be below it.
        let cut = |name: &str| name.split_once('~').map(|(cut, _)| cut.to_string());
        let has_leases = |view: &View, name: &str| view.lines(name).next().is_some();
        let cuts: HashSet<String> = names.iter().filter(|name| has_leases(&self.view, name)).filter_map(|name| cut(name)).collect();
        let mut needed: HashSet<String> = HashSet::new();
        for name in names {
            if has_leases(&self.view, &name) || needed.contains(&name) || cut(&name).is_some_and(|cut| cuts.contains(&cut)) {
                needed.extend(name::above(&name));
                continue;
            }
            let path = self.view.dir.join("held").join(&name);
            fs::remove_file(&path).map_err(|error| failed("sweep the leases", &self.view.dir, &error))?;
            self.view.held.set(name, None);
        }
        Ok(())
    }
}

/// True while a change is committed that may concern this file of `held/`, and is not carried out: its writer is at it, or dead.
pub fn is_staged(held: &Path) -> bool {
    held.ancestors().nth(2).is_some_and(|dir| dir.join("staged").symlink_metadata().is_ok())
}

/// The directory below which all lies that a pattern covers; of a path, the path itself.
pub fn reach(pattern: &Pattern) -> &str {
    if pattern.is_literal() { pattern.text() } else { pattern.prefix() }
}

/// The directory whose file a pattern lies in.
pub fn home(pattern: &Pattern) -> &str {
    debug_assert!(pattern.text() != ROOT || pattern.prefix().is_empty());
    pattern.prefix()
}

/// The root, and each directory on the way to `dir`, itself too.
fn ancestors(dir: &str) -> impl Iterator<Item = &str> {
    let between = dir.match_indices('/').map(|(at, _)| &dir[..at]);
    [""].into_iter().chain(between).chain((!dir.is_empty()).then_some(dir))
}

/// Lines with something on them. What a power cut leaves of a file may be NULs; the leases that they were have ended with it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]);
    let lines = ends.scan(0, |start, end| Some(&bytes[std::mem::replace(start, end + 1)..end]));
    lines.filter(|line| line.iter().any(|&byte| byte != 0))
}

/// Writes a file that is in nobody's way; under the lock, so that the name is nobody else's. Over what was there, and not into an empty file:
/// ext4 takes a file that was cut to nothing or is renamed over another for a replacement whose author forgot to sync it, and writes it
/// to disk at once (auto_da_alloc in ext4(5); measured: 117 us a rename, and 12 for two files that take turns).
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = match files::open_or_create(path) {
        Err(_) if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) => {
            clear_away(path)?;
            files::open_or_create(path)?
        }
        opened => opened?,
    };
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

/// Moves what is no file, and nobody of ours made, out of the way.
fn clear_away(path: &Path) -> io::Result<()> {
    let (dir, name) = (path.with_file_name("damaged"), path.file_name().unwrap_or_default());
    files::create_dir(&dir)?;
    let free = (1..).map(|n| dir.join(format!("{}.{n}", name.display()))).find(|to| to.symlink_metadata().is_err());
    free.map_or(Ok(()), |to| fs::rename(path, to))
}

/// Renames into a directory that may have to be made.
fn rename(from: &Path, to: &Path, dir: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => files::create_dir(dir).and_then(|()| fs::rename(from, to)),
        renamed => renamed,
    }
}

/// Wakes those who watch these files, before the commit: they ask for the lock, and have it when the change was made, or its writer is dead. Told
/// after it, they would sleep on where a writer was killed between the commit and the last of its renames.
fn wake(held: &Path, changes: &[Change]) {
    for change in changes {
        // That a file which could have been written is closed is what they are told of.
        let _ = OpenOptions::new().write(true).open(held.join(&change.name));
    }
}

/// Carries out a committed change. Again is no more.
fn carry_out(dir: &Path) -> io::Result<()> {
    let (staged, held) = (dir.join("staged"), dir.join("held"));
    for entry in fs::read_dir(&staged)? {
        let name = entry?.file_name();
        rename(&staged.join(&name), &held.join(&name), &held)?;
    }
    fs::remove_dir(&staged)
}

fn failed(what: &str, dir: &Path, error: &io::Error) -> Failure {
    Failure::system(format!("cannot {what} in {}: {}", dir.display(), exit::reason(error)))
}
