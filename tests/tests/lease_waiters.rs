//! Many who wait for one path: served in the order in which they came, whoever dies on the way, and asleep while they wait.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{tool, until};

struct Swarm {
    dir: tempfile::TempDir,
}

impl Swarm {
    fn new() -> Swarm {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        Swarm { dir }
    }

    fn lock(&self, args: &[&str]) -> Command {
        let mut command = tool("swarm-lock");
        command.args(args).args(["--store", "store"]).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.lock(args).output().unwrap()
    }

    /// Runs it; it must say yes. The first of what it answers.
    fn done(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(said.lines().next().unwrap()).unwrap()
    }

    fn queue(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path().join("store/locks/queue")).map(|files| files.map(|file| file.unwrap().path()));
        let mut files: Vec<PathBuf> = files.map(Iterator::collect).unwrap_or_default();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "ndjson"));
        files.sort();
        files
    }

    /// Starts one who waits, and returns when he stands in the queue.
    fn waiter(&self, args: &[&str]) -> Waiter {
        let before = self.queue();
        let child = self.lock(args).spawn().unwrap();
        until("he stands in the queue", || self.queue().iter().any(|place| !before.contains(place)));
        Waiter(Some(child))
    }
}

/// Whoever waits is ended with the test.
struct Waiter(Option<Child>);

impl Waiter {
    fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn is_waiting(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// What he is told, in time.
    fn granted(mut self) -> Value {
        until("he is told", || !self.is_waiting());
        let mut child = self.0.take().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The processor time that a process has used, in ticks of 10 ms (proc(5)).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn two_hundred_waiters_are_served_in_the_order_of_their_arrival_and_the_dead_hold_nobody_up() {
    let swarm = Swarm::new();
    swarm.done(&["acquire", "--as", "first", "--ttl", "1h", "a/x"]);
    // Each gives the path back as soon as he has it, by ending: the lease is tied to a process that then ends.
    let names: Vec<String> = (0..200).map(|number| format!("waiter-{number:03}")).collect();
    let script = "\"$1\" acquire --as \"$2\" --store store --wait --pid $$ --ttl 1h a/x";
    let mut waiters: Vec<Waiter> = Vec::new();
    let lock = swarm_tests::programs::dir().join("swarm-lock");
    let begun = Instant::now();
    for name in &names {
        let before = swarm.queue().len();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}; true"), "sh"]).arg(&lock).arg(name).current_dir(swarm.dir.path());
        command.env_remove("SWARM_STORE").env_remove("SWARM_AGENT").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        waiters.push(Waiter(Some(command.spawn().unwrap())));
        until("he stands in the queue", || swarm.queue().len() > before);
    }
    println!("200 stand in the queue after {:?}", begun.elapsed());
    let pids: Vec<u32> = swarm.queue().iter().map(|place| pid_of(place)).collect();
    // Some die in the queue, in whatever way: the first, the last, and two in a row.
    let dead = [0, 50, 51, 120, 199];
    for number in dead {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pids[number] as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    // A user has so many inotify instances, often 128, and whoever gets none looks ten times a second. The others sleep, once those who stood
    // behind a dead one have looked a few times more, within a second of its own: half a second costs all of them together no more than a
    // tick of the clock.
    let living = pids.iter().enumerate().filter(|(number, _)| !dead.contains(number)).map(|(_, pid)| *pid);
    let told: Vec<u32> = living.filter(|pid| is_told(*pid)).collect();
    println!("{} of 195 are told of changes", told.len());
    assert!(told.len() >= 20, "too few inotify instances are left: fs.inotify.max_user_instances");
    let used = || told.iter().map(|pid| ticks(*pid)).sum::<u64>();
    until("all sleep", || {
        let before = used();
        std::thread::sleep(Duration::from_millis(500));
        used() - before <= 1
    });

    swarm.done(&["release", "--as", "first", "a/x"]);
    let released = Instant::now();
    let mut tokens: Vec<(usize, u64)> = Vec::new();
    for (number, mut waiter) in waiters.into_iter().enumerate() {
        until("it is his turn", || !waiter.is_waiting());
        let mut said = String::new();
        waiter.0.as_mut().unwrap().stdout.take().unwrap().read_to_string(&mut said).unwrap();
        if dead.contains(&number) {
            assert_eq!(said, "");
            continue;
        }
        let answer: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((answer["status"].as_str(), answer["agent_id"].as_str()), (Some("granted"), Some(names[number].as_str())));
        tokens.push((number, answer["token"].as_u64().unwrap()));
    }
    println!("all were served after {:?}", released.elapsed());
    assert_eq!(tokens.len(), 195);
    assert!(tokens.windows(2).all(|two| two[0].1 < two[1].1), "not in order: {tokens:?}");
}

/// Whether a process has an inotify instance.
fn is_told(pid: u32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy().contains("inotify")))
}

fn pid_of(place: &Path) -> u32 {
    let waiter: Value = serde_json::from_str(&fs::read_to_string(place).unwrap()).unwrap();
    waiter["pid"].as_u64().unwrap() as u32
}

#[test]
fn shared_requests_stand_behind_an_exclusive_one_that_came_before_and_then_are_served_together() {
    let swarm = Swarm::new();
    swarm.done(&["acquire", "--as", "reader", "--shared", "a/**"]);
    let writer = swarm.waiter(&["acquire", "--as", "writer", "--wait", "a/x"]);
    // Without --wait: it is free for readers, but another came first.
    for asked in [&["acquire", "--as", "late", "--shared", "a/x"][..], &["acquire", "--as", "late", "a/x"]] {
        let refused = swarm.run(asked);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stdout).unwrap();
        let whys: Vec<String> = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["why"].to_string()).collect();
        assert!(whys.contains(&"\"waiting\"".to_string()), "{said}");
    }
    let mut one = swarm.waiter(&["acquire", "--as", "one", "--shared", "--wait", "a/x"]);
    let mut two = swarm.waiter(&["acquire", "--as", "two", "--shared", "--wait", "a/x"]);
    assert!(one.is_waiting() && two.is_waiting());
    swarm.done(&["release", "--as", "reader", "--all"]);
    let first = writer.granted()["token"].as_u64();
    assert!(one.is_waiting() && two.is_waiting());
    swarm.done(&["release", "--as", "writer", "--all"]);
    assert!(one.granted()["token"].as_u64() > first && two.granted()["token"].as_u64() > first);
}

#[test]
fn a_waiter_wakes_when_the_process_that_the_lease_is_tied_to_is_killed_or_its_time_is_over() {
    let swarm = Swarm::new();
    let mut holder = Command::new("sleep").arg("600").spawn().unwrap();
    swarm.done(&["acquire", "--as", "tied", "--ttl", "1h", "--pid", &holder.id().to_string(), "a/x"]);
    let mut waiter = swarm.waiter(&["acquire", "--as", "next", "--wait", "--ttl", "300ms", "a/x"]);
    assert!(waiter.is_waiting());
    let killed = Instant::now();
    holder.kill().unwrap();
    holder.wait().unwrap();
    waiter.granted();
    println!("{:?} after the kill", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(5));
    // Nothing happens but that time goes by.
    let asked = Instant::now();
    let last = swarm.lock(&["acquire", "--as", "last", "--wait", "a/x"]).spawn().unwrap();
    Waiter(Some(last)).granted();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_waiter_wakes_though_other_leases_of_the_directory_have_come_and_gone_before() {
    // What a user saw: the lease was given back, and the waiter slept on. What he watched was the file of before the last change.
    let swarm = Swarm::new();
    swarm.done(&["acquire", "--as", "holder", "a/x"]);
    swarm.done(&["acquire", "--as", "other", "b/x"]);
    let mut waiter = swarm.waiter(&["acquire", "--as", "next", "--wait", "a/x"]);
    for _ in 0..5 {
        for path in ["a/y", "b/y", "b/z"] {
            swarm.done(&["acquire", "--as", "other", path]);
        }
        swarm.done(&["acquire", "--as", "both", "a/z", "c/x"]);
        swarm.done(&["release", "--as", "both", "--token", &swarm.token_of("both").to_string()]);
        for path in ["a/y", "b/z", "b/y"] {
            swarm.done(&["release", "--as", "other", path]);
        }
    }
    assert!(waiter.is_waiting());
    swarm.done(&["release", "--as", "holder", "a/x"]);
    let released = Instant::now();
    waiter.granted();
    assert!(released.elapsed() < Duration::from_secs(5), "{:?}", released.elapsed());
}

impl Swarm {
    fn token_of(&self, agent_id: &str) -> u64 {
        self.done(&["list", "--agent", agent_id])["token"].as_u64().unwrap()
    }
}

#[test]
fn who_would_close_a_circle_of_three_is_refused_at_once_with_the_circle_and_the_others_wait_on() {
    let swarm = Swarm::new();
    for (agent_id, path) in [("ann", "a/x"), ("bob", "b/x"), ("cid", "c/x")] {
        swarm.done(&["acquire", "--as", agent_id, path]);
    }
    let mut ann = swarm.waiter(&["acquire", "--as", "ann", "--wait", "b/**"]);
    let mut bob = swarm.waiter(&["acquire", "--as", "bob", "--wait", "c/x"]);
    // The fastest of a few: the machine may be busy with something else.
    let took = (0..10).map(|_| {
        let asked = Instant::now();
        let refused = swarm.run(&["acquire", "--as", "cid", "--wait", "a/x"]);
        let took = asked.elapsed();
        assert_eq!(refused.status.code(), Some(1));
        let answer: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(answer["why"], "deadlock");
        let words = String::from_utf8(refused.stderr).unwrap();
        assert!(["ann", "bob", "cid"].iter().all(|agent_id| words.contains(agent_id)), "{words}");
        took
    });
    let took = took.min().unwrap();
    println!("refused in {took:?}");
    assert!(took < Duration::from_millis(50), "{took:?}");
    assert!(ann.is_waiting() && bob.is_waiting());
    assert_eq!(swarm.queue().len(), 2, "he who was refused stands nowhere");
    // Who gives back what the others wait for ends it.
    swarm.done(&["release", "--as", "cid", "c/x"]);
    bob.granted();
    swarm.done(&["release", "--as", "bob", "--all"]);
    ann.granted();
}

#[test]
fn while_a_stopped_process_has_the_lock_others_wait_and_go_on_after() {
    let swarm = Swarm::new();
    swarm.done(&["acquire", "--as", "one", "a/x"]);
    let lock = fs::File::open(swarm.dir.path().join("store/locks/lock")).unwrap();
    // What a process does that is stopped in the middle of a change.
    lock.lock().unwrap();
    let mut children: Vec<Waiter> = [&["list", "a/x"][..], &["acquire", "--as", "two", "b/x"], &["check", "--token", "1", "a/x"]]
        .iter()
        .map(|args| Waiter(Some(swarm.lock(args).spawn().unwrap())))
        .collect();
    let wchan = |pid: u32| fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    // flock(2) is call 73 on x86_64, and 32 elsewhere.
    let number = if cfg!(target_arch = "x86_64") { "73 " } else { "32 " };
    until("they wait for the lock", || children.iter().all(|child| wchan(child.pid()).starts_with(number)));
    assert!(children.iter_mut().all(Waiter::is_waiting));
    drop(lock);
    for child in children {
        child.granted();
    }
}
