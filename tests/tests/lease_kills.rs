//! A program that changes leases in several directories, killed between each two of its system calls: all of the change is there, or
//! nothing of it, and whoever comes next goes on.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::tool;
use swarm_lock::lease::{Mode, Standing};
use swarm_lock::leases::{Acquired, Leases, Manner, Request, Which};
use swarm_lock::pattern::Pattern;
use swarm_lock::table::Table;

/// In three directories, one of them deep, and a glob among them.
const PATHS: [&str; 4] = ["a/x", "a/y", "b/c/z", "d/*.rs"];

/// For each token its paths, and the ends of their parts.
type Held = BTreeMap<u64, (Vec<String>, Vec<u64>)>;

/// Stops that are tried before the lock's file is open.
const BEFORE: usize = 40;

/// Runs a command until `is_there` says so of where it enters or leaves a system call, counted from 1, and kills it there; false when it ended
/// before.
// The tracer waits for it itself.
#[allow(clippy::zombie_processes)]
fn kill_at(command: &Command, mut is_there: impl FnMut(usize, u32) -> bool) -> bool {
    // It stops itself, so that nothing of it is missed.
    let mut stopped = Command::new("sh");
    stopped.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    stopped.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => stopped.env(name, value),
            None => stopped.env_remove(name),
        };
    }
    let mut child = stopped.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    assert!(matches!(waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap(), WaitStatus::Stopped(_, Signal::SIGSTOP)));
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let (mut is_it, mut calls) = (false, 0);
    loop {
        let signal = match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) if is_it => {
                calls += 1;
                if is_there(calls, child.id()) {
                    child.kill().unwrap();
                    assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Signaled(pid, Signal::SIGKILL, false));
                    return true;
                }
                None
            }
            WaitStatus::PtraceEvent(_, _, event) if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 => {
                is_it = true;
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            WaitStatus::Exited(_, status) => {
                assert_eq!(status, 0, "{command:?}");
                return false;
            }
            WaitStatus::Signaled(_, signal, _) => panic!("{command:?}: {signal}"),
            _ => None,
        };
        // A stop of all its threads is over with the SIGCONT.
        let signal = signal.filter(|signal| ![Signal::SIGSTOP, Signal::SIGTRAP].contains(signal));
        if is_it { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) }.unwrap();
    }
}

/// Whether a process has a file open.
fn has_open(pid: u32, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
}

fn acquire(leases: &Leases, agent_id: &str, paths: &[&str]) -> Acquired {
    let request = Request {
        agent_id: agent_id.into(),
        mode: Mode::Exclusive,
        patterns: paths.iter().map(|path| Pattern::glob(path).unwrap()).collect(),
        ttl: Duration::from_secs(60),
        reason: String::new(),
        tie: None,
        keeper: None,
    };
    leases.acquire(&request, Manner::Once, &mut Vec::new(), &mut |words| panic!("{words}")).unwrap()
}

/// What is held, as another process sees it.
fn held(leases: &Leases) -> Held {
    let mut held = BTreeMap::new();
    leases
        .list(None, &mut |words| panic!("{words}"), &mut |listed| {
            assert_eq!(listed.standing, Standing::Alive);
            let mut paths: Vec<String> = listed.rows.iter().flat_map(|row| row.patterns()).map(|(text, _)| text.into_owned()).collect();
            paths.sort();
            held.insert(listed.rows[0].token, (paths, listed.rows.iter().map(|row| row.ends_us).collect()));
            Ok(())
        })
        .unwrap();
    held
}

/// Where the kill hit, by what lies in the table's directory.
fn phase(locks: &Path, is_done: bool) -> String {
    let files = |name: &str| fs::read_dir(locks.join(name)).ok().map(|files| files.count());
    match (files("staging"), files("staged")) {
        (None, None) if is_done => "done".into(),
        (None, None) => "not begun".into(),
        (Some(_), _) => "being written".into(),
        (_, Some(files)) => format!("committed, {files} of 3 to be moved"),
    }
}

/// Kills `args` at each of its stops. `before` makes what it changes; `is_done` says from what is held whether it took place, and fails where
/// a part of it did. How many kills there were, by phase.
fn kill_everywhere(before: &dyn Fn(&Leases), args: &[&str], is_done: &dyn Fn(&Held) -> bool) -> BTreeMap<String, usize> {
    let mut phases = BTreeMap::new();
    let mut first_stop = 0;
    for n in 0.. {
        // A kill is no power cut: in memory there is no disk to wait for at each first grant.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        let locks = dir.path().join("store/locks");
        let leases = Leases::new(Table::at(locks.clone()), None);
        before(&leases);
        let first = held(&leases).last_key_value().map_or(0, |(token, _)| *token);
        let mut command = tool("swarm-lock");
        command.args(args).args(["--as", "dead", "--store", "store"]).current_dir(dir.path());
        // The first of all is killed when it has the lock's file; from a while before that on, each stop has its turn. What comes before only
        // starts the program.
        let was_killed = kill_at(&command, |stop, pid| match n {
            0 if has_open(pid, &locks.join("lock")) => {
                first_stop = stop.saturating_sub(BEFORE);
                true
            }
            0 => false,
            _ => stop == first_stop + n,
        });
        // Who only looks sees one or the other, and so does who writes then.
        let seen = held(&leases);
        let is_done_now = is_done(&seen);
        *phases.entry(phase(&locks, is_done_now)).or_insert(0) += 1;
        let path = PATHS[n % PATHS.len()].replace('*', "lib");
        let is_free = seen.values().all(|(paths, _)| !paths.contains(&PATHS[n % PATHS.len()].to_string()));
        match acquire(&leases, "next", &[&path]) {
            Acquired::Granted { lease, .. } => {
                assert!(is_free, "{path} was granted twice; {args:?} killed at {n}");
                let last = seen.last_key_value().map_or(first, |(token, _)| *token);
                assert!(lease.token > last, "token {} after {last}", lease.token);
            }
            Acquired::Refused(conflicts) => assert!(!is_free, "{path} is free, and refused: {conflicts:?}"),
        }
        let mut now = held(&leases);
        now.retain(|token, _| seen.contains_key(token));
        assert_eq!(now, seen, "what was seen before the next change is what it is; {args:?} killed at {n}");
        // Nothing is in the way of anybody.
        leases.release("next", &Which::All, None, &mut Vec::new(), &mut |words| panic!("{words}")).unwrap();
        leases.release("dead", &Which::All, None, &mut Vec::new(), &mut |words| panic!("{words}")).unwrap();
        leases.release("other", &Which::All, None, &mut Vec::new(), &mut |words| panic!("{words}")).unwrap();
        assert!(matches!(acquire(&leases, "next", &PATHS), Acquired::Granted { .. }));
        assert!(!locks.join("staged").exists() && !locks.join("damaged").exists());
        if !was_killed {
            assert!(is_done_now, "{args:?} ended by itself");
            return phases;
        }
    }
    unreachable!("every program ends")
}

/// All of `PATHS` under one token, or none.
fn all_or_none(held: &Held, agent_holds: bool) -> bool {
    let Some((paths, _)) = held.values().next() else { return false };
    assert_eq!(held.len(), 1);
    assert_eq!(paths, &PATHS, "a part of a grant");
    agent_holds
}

#[test]
fn a_change_in_several_directories_that_is_killed_between_two_system_calls_is_made_whole_or_not_at_all() {
    let grant = |agent_id: &'static str| {
        move |leases: &Leases| {
            assert!(matches!(acquire(leases, agent_id, &PATHS), Acquired::Granted { .. }));
        }
    };
    let used = |leases: &Leases| {
        assert!(matches!(acquire(leases, "other", &PATHS), Acquired::Granted { .. }));
        leases.release("other", &Which::All, None, &mut Vec::new(), &mut |_| ()).unwrap();
    };
    let with = |words: &[&'static str]| -> Vec<&'static str> { words.iter().chain(&PATHS).copied().collect() };
    let granted = |held: &Held| all_or_none(held, true);
    let given_back = |held: &Held| {
        all_or_none(held, true);
        held.is_empty()
    };
    let prolonged = |held: &Held| {
        all_or_none(held, true);
        let (_, ends_us) = held.values().next().unwrap();
        assert!(ends_us.iter().all(|end_us| *end_us == ends_us[0]), "a part was prolonged: {ends_us:?}");
        let left = Duration::from_micros(ends_us[0]).saturating_sub(swarm_common::platform::boottime());
        left > Duration::from_secs(600)
    };
    let mut kills = 0;
    for (what, phases) in [
        ("acquire, the first", kill_everywhere(&|_| (), &with(&["acquire"]), &granted)),
        ("acquire", kill_everywhere(&used, &with(&["acquire"]), &granted)),
        ("renew", kill_everywhere(&grant("dead"), &["renew", "--all", "--ttl", "1h"], &prolonged)),
        ("release", kill_everywhere(&grant("dead"), &["release", "--all"], &given_back)),
        ("release --force", kill_everywhere(&grant("other"), &with(&["release", "--force", "--reason", "gone"]), &given_back)),
    ] {
        println!("{what}: {phases:?}");
        kills += phases.values().sum::<usize>() - 1;
        // Each phase was hit, the renames one by one.
        for phase in ["not begun", "being written", "done"] {
            assert!(phases.contains_key(phase), "{what}: none killed when {phase}");
        }
        for files in 0..=3 {
            assert!(phases.contains_key(&format!("committed, {files} of 3 to be moved")), "{what}: {files}");
        }
    }
    println!("{kills} kills");
    assert!(kills >= 1_000, "{kills} kills");
}
