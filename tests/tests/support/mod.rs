//! What the tests of several programs share: the programs, built as the tests are, and a store of one's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use swarm_tests::programs;
#[allow(unused_imports)]
pub use swarm_tests::wait::{DEADLINE, until};

/// A program of the workspace, with nothing of the caller's swarm in its environment.
#[allow(dead_code)]
pub fn tool(name: &str) -> Command {
    let mut command = Command::new(programs::dir().join(name));
    for variable in ["SWARM_STORE", "SWARM_AGENT", "TMUX", "TMUX_PANE"] {
        command.env_remove(variable);
    }
    command
}

/// A line of the shell, with the programs first on its path and the store `store` below `dir`.
#[allow(dead_code)]
pub fn shell(dir: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    let path = format!("{}:{}", programs::dir().display(), std::env::var("PATH").unwrap());
    command.args(["-c", line]).current_dir(dir).env("PATH", path).env("SWARM_STORE", dir.join("store"));
    command.env_remove("SWARM_AGENT").env_remove("TMUX").env_remove("TMUX_PANE");
    command
}

/// A store whose segments end after so many bytes.
#[allow(dead_code)]
pub fn store_with_segments(dir: &Path, segment_bytes: u64) -> PathBuf {
    let store = dir.join("store");
    fs::create_dir(&store).unwrap();
    fs::write(store.join("config.toml"), format!("[journal]\nsegment_bytes = {segment_bytes}\n")).unwrap();
    store
}

/// All that a journal holds, and the number of its segments. Fails where a line is torn or is no JSON.
#[allow(dead_code)]
pub fn stored(store: &Path) -> (Vec<Value>, usize) {
    let mut segments: Vec<PathBuf> = fs::read_dir(store.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
    segments.sort();
    let mut records = Vec::new();
    for segment in &segments {
        let text = fs::read_to_string(segment).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in the middle of a line", segment.display());
        records.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))));
    }
    (records, segments.len())
}
