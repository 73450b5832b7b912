//! What the tests of the binary share: a store of their own, a journal written by hand or as senders do, and waiting without sleeping.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use swarm_common::journal::{Draft, Journal, Settings};
use tempfile::TempDir;

/// Long enough for a loaded machine; a test that needs it has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The binary, with nothing of the caller's swarm in its environment.
pub fn tail(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-tail"));
    command.args(args).env_remove("SWARM_STORE").env_remove("SWARM_AGENT").env_remove("TMUX").env_remove("TMUX_PANE").env("TZ", "UTC");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a call printed, said, and ended with.
pub struct Ended {
    pub out: String,
    pub said: String,
    pub status: Option<i32>,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended { out: text(&output.stdout), said: text(&output.stderr), status: output.status.code() }
    }
}

/// A call in a directory of its own.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    /// With a journal that holds the seqs 1 to `count`.
    pub fn with(count: u64) -> Place {
        let place = Place::new();
        place.segment(1, &lines(1..=count));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a segment by hand.
    pub fn segment(&self, first_seq: u64, text: &str) -> PathBuf {
        let dir = self.store().join("journal");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).unwrap();
        let path = dir.join(format!("{first_seq:020}.ndjson"));
        fs::write(&path, text).unwrap();
        path
    }

    pub fn cursor(&self, name: &str) -> PathBuf {
        self.store().join("cursors").join(name)
    }

    /// The seq that a cursor's file says.
    pub fn next_seq(&self, name: &str) -> Option<u64> {
        swarm_common::cursor::parse(&fs::read(self.cursor(name)).ok()?).ok()
    }

    pub fn journal(&self, segment_bytes: u64) -> Journal {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.store()).unwrap();
        Journal::at(self.store().join("journal"), Settings { segment_bytes, ..Settings::default() })
    }

    /// A call about this store.
    pub fn tail(&self, args: &[&str]) -> Command {
        let mut command = tail(args);
        command.env("SWARM_STORE", self.store()).current_dir(self.dir.path());
        command
    }

    /// A call to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.tail(args).output().unwrap().into()
    }

    /// A call that must go well and say nothing: the seqs it prints.
    pub fn seqs(&self, args: &[&str]) -> Vec<u64> {
        let ended = self.run(args);
        assert_eq!((ended.said.as_str(), ended.status), ("", Some(0)), "{args:?}");
        ended.out.lines().map(seq).collect()
    }
}

/// A record as the journal has it. Its minute is its seq.
pub fn line(seq: u64) -> String {
    let (hour, minute) = (seq / 60, seq % 60);
    format!(
        "{{\"seq\":{seq},\"msg_id\":\"m-{seq}\",\"timestamp\":\"2026-11-23T{hour:02}:{minute:02}:00.000000Z\",\"msg_type\":\"INFO\",\
         \"sender_id\":\"agent-0\",\"recipients\":[\"@all\"],\"content\":\"number {seq}\"}}\n"
    )
}

pub fn lines(seqs: impl IntoIterator<Item = u64>) -> String {
    seqs.into_iter().map(line).collect()
}

/// The seq of a line that was printed.
pub fn seq(line: &str) -> u64 {
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    record["seq"].as_u64().unwrap()
}

/// Messages as a sender hands them over, with contents of that length.
pub fn drafts(count: usize, content_bytes: usize) -> Vec<Draft> {
    let content = "x".repeat(content_bytes);
    let body = format!("\"msg_type\":\"INFO\",\"sender_id\":\"a\",\"recipients\":[\"@all\"],\"content\":\"{content}\"}}").into_bytes();
    let draft = |n| Draft { msg_id: format!("id-{n}"), id_is_own: false, sender_id: "a".into(), body: body.clone() };
    (0..count).map(draft).collect()
}

/// A call that goes on, and its output line by line. Killed when it goes out of scope.
pub struct Following {
    pub child: Child,
    pub out: Option<BufReader<ChildStdout>>,
}

impl Following {
    pub fn start(mut command: Command) -> Following {
        let mut child = command.spawn().unwrap();
        let out = Some(BufReader::new(child.stdout.take().unwrap()));
        Following { child, out }
    }

    /// The next line, newline included.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.out.as_mut().unwrap().read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    }

    /// The next `count` lines.
    pub fn lines(&mut self, count: usize) -> String {
        (0..count).map(|_| self.line()).collect()
    }

    /// Whether it waits in poll(2), so it has done all there was to do. Elsewhere it is given the time to.
    pub fn is_asleep(&self) -> bool {
        let Ok(call) = fs::read_to_string(format!("/proc/{}/syscall", self.child.id())) else {
            thread::sleep(Duration::from_millis(200));
            return true;
        };
        // poll(2) on x86_64, ppoll(2) on others.
        matches!(call.split(' ').next(), Some("7" | "73" | "271" | "336"))
    }

    /// Waits until it has ended by itself: its status, and what it said.
    pub fn ends(mut self) -> (Option<i32>, String) {
        drop(self.out.take());
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut said = String::new();
                std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
                return (status.code(), said);
            }
            assert!(Instant::now() < deadline, "it did not end by itself");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Peak resident memory.
    #[cfg(target_os = "linux")]
    pub fn peak_kib(&self) -> u64 {
        status_kib(self.child.id(), "VmHWM:")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(target_os = "linux")]
fn status_kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

/// Waits until that is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads everything a child prints in a thread; the lines come as they are printed.
pub fn collect(out: ChildStdout) -> mpsc::Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut out = BufReader::new(out);
        loop {
            let mut line = Vec::new();
            match out.read_until(b'\n', &mut line) {
                Ok(n) if n > 0 => {
                    if tell.send(line).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    });
    told
}

/// Appends to a file as a logger does: opened, written, closed.
pub fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

/// Small numbers that look random and are the same in every run (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
