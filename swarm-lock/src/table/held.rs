//! The files of `held/`: their names, and what is in those that were read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use swarm_common::exit::Failure;

use crate::table::name::{self, Names};

/// By so much the room grows that files are read into. A read has half of it at least, which most files fit into.
const ROOM_BYTES: usize = 16_384;

/// What an entry that is no file is read as: a line that is none.
const NO_FILE: &[u8] = b"no file\n";

/// What is known of `held/`, and of `staged/` while a change is on its way.
pub struct Held {
    /// The table's directory.
    dir: PathBuf,
    /// A change is committed and not carried out: its files are in `staged/`.
    pub is_staged: bool,
    /// `held/`, once it was found: its files are opened from there.
    held: Option<OwnedFd>,
    names: Option<Rc<Names>>,
    /// Where in the room each file is that was read; none where there is no such file.
    files: HashMap<String, Option<Range<usize>>>,
    room: Room,
}

impl Held {
    /// Nothing was read yet.
    pub fn new(dir: &Path, is_staged: bool) -> Held {
        Held { dir: dir.to_path_buf(), is_staged, held: None, names: None, files: HashMap::new(), room: Room::default() }
    }

    /// Reads a file; false where there is none.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn load(&mut self, name: &str) -> Result<bool, Failure> {
        if let Some(file) = self.files.get(name) {
            return Ok(file.is_some());
        }
        let file = self.read(name)?;
        let is_there = file.is_some();
        self.files.insert(name.to_string(), file);
        Ok(is_there)
    }

    /// All of a file; nothing of one that was not read.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.files.get(name).cloned().flatten().map_or(&[], |file| &self.room.bytes[file])
    }

    /// A file was changed to this, or removed.
    pub fn set(&mut self, name: String, bytes: Option<&[u8]>) {
        let file = bytes.map(|bytes| self.room.append(bytes));
        self.files.insert(name, file);
        self.names = None;
    }

    /// The names of all files, in their order.
    ///
    /// # Errors
    /// Status 3 when they cannot be listed.
    pub fn names(&mut self) -> Result<Rc<Names>, Failure> {
        if let Some(names) = &self.names {
            return Ok(names.clone());
        }
        let mut names = list(&self.dir.join("held"))?;
        if self.is_staged {
            names.extend(list(&self.dir.join("staged"))?);
        }
        Ok(self.names.insert(Names::of(names).into()).clone())
    }

    /// Reads a file of `held/`, or of `staged/`, where it is on its way.
    fn read(&mut self, name: &str) -> Result<Option<Range<usize>>, Failure> {
        let path = self.dir.join("held").join(name);
        match self.try_read(name) {
            // A directory, a named pipe: as a file that makes no sense. What it stands for is not known.
            Err(_) if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) => Ok(Some(self.room.append(NO_FILE))),
            file => file.map_err(|error| Failure::io(format_args!("read the leases in {}", path.display()), &error)),
        }
    }

    fn try_read(&mut self, name: &str) -> io::Result<Option<Range<usize>>> {
        let staged = if self.is_staged { open(AT_FDCWD, &self.dir.join("staged").join(name))? } else { None };
        let file = match staged {
            None => self.open_held(name)?,
            staged => staged,
        };
        file.map(|file| self.room.read(file.into())).transpose()
    }

    fn open_held(&mut self, name: &str) -> io::Result<Option<OwnedFd>> {
        if self.held.is_none() {
            self.held = open(AT_FDCWD, &self.dir.join("held"))?;
        }
        self.held.as_ref().map_or(Ok(None), |held| open(held, name.as_ref()))
    }
}

/// Files that were read, one behind the other: room of its own for each would take a long list more time than to read it.
#[derive(Default)]
struct Room {
    bytes: Vec<u8>,
    /// What is behind this is free.
    used: usize,
}

impl Room {
    /// Reads all of a file.
    fn read(&mut self, mut file: File) -> io::Result<Range<usize>> {
        let start = self.used;
        let mut end = start;
        loop {
            if self.bytes.len() - end < ROOM_BYTES / 2 {
                self.bytes.resize(self.bytes.len() + ROOM_BYTES, 0);
            }
            match file.read(&mut self.bytes[end..]) {
                Ok(n) => end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            // Under the lock, a read that brings less than there is room for has found the end.
            if end < self.bytes.len() {
                break;
            }
        }
        // Only a file brings anything, or what somebody writes into a named pipe, which makes no sense either.
        if end == start && !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        self.used = end;
        Ok(start..end)
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.used;
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(bytes);
        self.used = self.bytes.len();
        start..self.used
    }
}

/// Opens what is there, in `dir`; a named pipe without waiting for its writer. As the system has it: std asks for O_CLOEXEC twice with
/// musl, and a long list is as fast as its files are opened.
fn open(dir: impl AsFd, path: &Path) -> io::Result<Option<OwnedFd>> {
    match openat(dir, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn list(dir: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: io::Error| Failure::io(format_args!("list the leases in {}", dir.display()), &error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is none of ours is not UTF-8 either, or has another ending.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && name::may_be_within(&name, "")
        {
            names.push(name);
        }
    }
    Ok(names)
}
