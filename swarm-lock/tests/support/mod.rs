//! A tree of its own with a store, and calls in it with nothing of the caller's swarm in their environment.

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command as Call;
use serde_json::Value;
use tempfile::TempDir;

/// A tree.
pub struct Tree(TempDir);

impl Tree {
    /// An empty one, with a store.
    pub fn new() -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        fs::create_dir(tree.path(".swarm")).unwrap();
        tree
    }

    /// A path in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Makes a file, and what is above it.
    pub fn file(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    /// `swarm-lock` in it.
    pub fn lock(&self, args: &[&str]) -> Call {
        self.lock_in("", args)
    }

    /// The same in a directory of it.
    pub fn lock_in(&self, dir: &str, args: &[&str]) -> Call {
        call(&self.path(dir), args)
    }

    /// The answers, and the status.
    pub fn ask(&self, args: &[&str]) -> (i32, Vec<Value>) {
        answers(self.lock(args))
    }

    /// What the journal has, in its order: type and data.
    pub fn events(&self) -> Vec<(String, Value)> {
        let path = self.path(".swarm/journal/00000000000000000001.ndjson");
        let records = records(&fs::read(path).unwrap_or_default());
        records.into_iter().map(|record| (record["msg_type"].as_str().unwrap().to_string(), record["data"].clone())).collect()
    }
}

/// `swarm-lock` in a directory.
pub fn call(dir: &Path, args: &[&str]) -> Call {
    let mut call = Call::new(env!("CARGO_BIN_EXE_swarm-lock"));
    call.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(dir).args(args);
    call
}

/// The answers of a call, and its status.
pub fn answers(mut call: Call) -> (i32, Vec<Value>) {
    let output = call.output().unwrap();
    (output.status.code().unwrap(), records(&output.stdout))
}

/// Lines of NDJSON.
pub fn records(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What it says in its answers: the status, or another member.
pub fn all<'a>(answers: &'a [Value], member: &str) -> Vec<&'a str> {
    answers.iter().map(|answer| answer[member].as_str().unwrap_or("")).collect()
}

/// Looks again and again, until a deadline.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}
