//! `swarm-lock run`, with real commands and real signals.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Long enough for a loaded machine; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

const LOCK: &str = env!("CARGO_BIN_EXE_swarm-lock");

/// A swarm of its own.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        Place { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The binary, in the swarm's directory, with nothing of the caller's swarm.
    fn lock(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LOCK);
        command.args(args).current_dir(self.dir.path()).env("LOCK", LOCK);
        command.env_remove("SWARM_STORE").env_remove("SWARM_AGENT").env_remove("SWARM_LOCK_TOKEN").env_remove("TMUX_PANE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `run --as a1 OPTION... src -- sh -c SCRIPT`
    fn run(&self, options: &[&str], script: &str) -> Command {
        self.lock(&[&["run", "--as", "a1"], options, &["src", "--", "sh", "-c", script]].concat())
    }

    /// What of it is held.
    fn list(&self) -> String {
        stdout(&self.lock(&["list"]).output().unwrap())
    }

    /// The types of the journal's records.
    fn events(&self) -> Vec<String> {
        let journal = self.text(".swarm/journal/00000000000000000001.ndjson");
        let kind = |line: &str| Some(line.split_once("\"msg_type\":\"")?.1.split_once('"')?.0.to_string());
        journal.lines().filter_map(kind).collect()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until something is true.
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_true() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the file has a whole line, and returns it.
fn line(path: &Path) -> String {
    let read = || fs::read_to_string(path).unwrap_or_default();
    until(&format!("a line in {}", path.display()), || read().ends_with('\n'));
    read().trim().to_string()
}

/// Waits for the end; kills it, and fails, when that does not come.
fn ends(mut child: Child) -> Output {
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}

/// The state of a process (proc(5)); none when it is gone.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn is_gone(pid: &str) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

#[test]
fn the_commands_status_and_output_are_those_of_run_and_the_lease_is_given_back() {
    let place = Place::new();
    let output = place.run(&[], "cat; echo out; echo err >&2; exit 7").output().unwrap();
    assert_eq!((output.status.code(), stdout(&output), stderr(&output)), (Some(7), "out\n".into(), "err\n".into()));
    assert_eq!(place.list(), "");
    assert_eq!(place.events(), ["LOCKED", "RELEASED"]);
    let killed = place.run(&[], "kill -9 $$").output().unwrap();
    assert_eq!((killed.status.code(), stderr(&killed)), (Some(137), String::new()), "as a shell says it");
    // A real-time signal has no name in most lists.
    assert_eq!(place.run(&[], "kill -40 $$").status().unwrap().code(), Some(168));
    assert_eq!(place.events(), ["LOCKED", "RELEASED", "LOCKED", "RELEASED", "LOCKED", "RELEASED"]);
}

#[test]
fn what_was_not_granted_is_75_and_the_command_never_starts() {
    let place = Place::new();
    assert!(place.lock(&["acquire", "--as", "b", "--reason", "mine", "src/x"]).status().unwrap().success());
    for options in [&[][..], &["--wait=50ms"]] {
        let output = place.run(options, "touch started").output().unwrap();
        assert_eq!((output.status.code(), stdout(&output)), (Some(75), String::new()));
        let said = stderr(&output);
        assert!(said.contains("src is held by b through src/x") && said.contains("mine"), "{said}");
        assert!(!place.path("started").exists());
    }
}

#[test]
fn a_command_that_cannot_be_started_gives_the_lease_back() {
    let place = Place::new();
    fs::write(place.path("data"), "x").unwrap();
    for (command, status) in [("nosuchcommand", 127), ("./data", 126), ("./src", 126), ("", 127)] {
        let output = place.lock(&["run", "--as", "a1", "src", "--", command]).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{command}: {said}");
        assert!(said.starts_with(&format!("swarm-lock: cannot run {command:?}: ")) && said.lines().count() == 1, "{said}");
        assert_eq!(place.list(), "");
    }
    assert!(!place.events().contains(&"EXPIRED".to_string()));
}

#[test]
fn a_wrong_call_is_2_and_starts_nothing() {
    let place = Place::new();
    for args in [
        &["run", "--as", "a1", "src"][..],
        &["run", "--as", "a1", "--", "touch", "started"],
        &["run", "src", "--", "touch", "started"],
        &["run", "--as", "a1", "--ttl", "999ms", "src", "--", "touch", "started"],
        &["run", "--as", "a1", "--wait=soon", "src", "--", "touch", "started"],
        &["run", "--as", "a1", "../x", "--", "touch", "started"],
        &["run", "--as", "a1", "a**b", "--", "touch", "started"],
    ] {
        let output = place.lock(args).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()), "{args:?} {}", stderr(&output));
        assert!(stderr(&output).starts_with("swarm-lock: "));
    }
    assert!(!place.path("started").exists());
}

#[test]
fn what_the_command_calls_is_the_same_agent_in_the_same_swarm_and_knows_its_token() {
    let place = Place::new();
    // With a store that is found from nowhere else.
    let script = "cd src && $LOCK check a.rs && $LOCK acquire b.rs && echo $SWARM_LOCK_TOKEN";
    let output = place.lock(&["run", "--as", "a1", "--store", "elsewhere", "src", "--", "sh", "-c", script]).output().unwrap();
    let out = stdout(&output);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}{}", stderr(&output));
    assert_eq!((lines[0], lines[2]), ("{\"valid\":true,\"token\":1}", "1"));
    assert!(lines[1].contains("\"token\":2,\"agent_id\":\"a1\",\"mode\":\"exclusive\",\"paths\":[\"src/b.rs\"]"), "{out}");
    assert!(!place.path(".swarm").exists() && !place.path("src/elsewhere").exists());
}

#[test]
fn a_run_in_a_run_has_a_lease_of_its_own_and_gives_back_that_alone() {
    let place = Place::new();
    let output =
        place.run(&[], "$LOCK run src -- sh -c 'echo $SWARM_LOCK_TOKEN; exit 3'; echo $? $SWARM_LOCK_TOKEN; $LOCK list").output().unwrap();
    let out = stdout(&output);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["2", "3 1"], "{}", stderr(&output));
    assert!(lines.len() == 3 && lines[2].starts_with("{\"token\":1,"), "{out}");
    assert_eq!(place.list(), "");
}

#[test]
fn a_lease_that_was_held_before_stays() {
    let place = Place::new();
    assert!(place.lock(&["acquire", "--as", "a1", "src"]).status().unwrap().success());
    assert_eq!(place.run(&[], "exit 4").status().unwrap().code(), Some(4));
    assert!(place.list().starts_with("{\"token\":1,"), "{}", place.list());
}

#[test]
fn no_descriptor_leaks_into_the_command_and_those_of_the_caller_get_there() {
    let place = Place::new();
    let list = "ls -l /proc/self/fd | sed 's/.* \\([0-9]* -> .*\\)/\\1/'";
    let bare = Command::new("sh").args(["-c", &format!("exec 7</etc/passwd; {list}")]).stdin(Stdio::null()).output().unwrap();
    let script = "exec 7</etc/passwd; exec $LOCK run --as a1 src -- sh -c \"$LIST\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).envs([("LOCK", LOCK), ("LIST", list)]).current_dir(place.dir.path()).stdin(Stdio::null());
    let held = command.output().unwrap();
    let numbers = |output: &Output| {
        let text = stdout(output);
        text.lines().filter_map(|line| line.split_once(" -> ")).map(|(number, _)| number.to_string()).collect::<Vec<_>>()
    };
    assert!(numbers(&held).contains(&"7".to_string()), "{} {}", stdout(&held), stderr(&held));
    assert_eq!(numbers(&held), numbers(&bare), "{}", stdout(&held));
}

#[test]
fn signals_reach_the_command_which_decides_what_they_mean() {
    let place = Place::new();
    let script = "trap 'echo TERM >>got' TERM; trap 'echo INT >>got' INT; trap 'echo QUIT >>got' QUIT; trap 'echo HUP >>got' HUP
                  trap 'echo USR1 >>got' USR1; trap 'exit 9' USR2; echo ready >ready; while :; do sleep 0.01; done";
    let child = place.run(&[], script).spawn().unwrap();
    line(&place.path("ready"));
    let pid = child.id().to_string();
    for name in ["TERM", "INT", "QUIT", "HUP", "USR1"] {
        signal(name, &pid);
        until(name, || place.text("got").ends_with(&format!("{name}\n")));
    }
    assert!(!place.list().is_empty(), "it is held yet");
    signal("USR2", &pid);
    assert_eq!(ends(child).status.code(), Some(9));
    assert_eq!(place.text("got"), "TERM\nINT\nQUIT\nHUP\nUSR1\n", "once each");
    assert_eq!(place.list(), "");
    // What it does not catch ends it, as it would without `run`.
    let child = place.run(&[], "echo ready >ready2; exec sleep 100").spawn().unwrap();
    line(&place.path("ready2"));
    signal("TERM", &child.id().to_string());
    let output = ends(child);
    assert_eq!((output.status.code(), stderr(&output)), (Some(143), String::new()));
    assert_eq!(place.list(), "");
    assert!(!place.events().contains(&"EXPIRED".to_string()));
}

#[test]
fn run_killed_takes_the_command_along_and_the_lease_lasts_until_that_has_ended() {
    let place = Place::new();
    // The command takes its time.
    let script = "trap 'echo TERM >told; while [ ! -e go ]; do sleep 0.01; done; exit' TERM; echo $$ >pid; while :; do sleep 0.01; done";
    let mut child = place.run(&[], script).spawn().unwrap();
    let command = line(&place.path("pid"));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(line(&place.path("told")), "TERM");
    assert!(!is_gone(&command));
    let refused = place.lock(&["acquire", "--as", "b", "src"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "the command works yet: {}", stdout(&refused));
    let waiting = place.lock(&["acquire", "--as", "b", "--wait=1m", "src"]).spawn().unwrap();
    fs::write(place.path("go"), "").unwrap();
    let output = ends(waiting);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    until("its end", || is_gone(&command));
    assert_eq!(place.events(), ["LOCKED", "EXPIRED", "LOCKED"]);
}

#[test]
fn run_killed_while_it_waits_leaves_no_process_and_never_starts_the_command() {
    let place = Place::new();
    assert!(place.lock(&["acquire", "--as", "b", "src"]).status().unwrap().success());
    let mut child = place.run(&["--wait"], "touch started").spawn().unwrap();
    let pid = child.id().to_string();
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default().trim().to_string();
    let queue = place.path(".swarm/locks/queue");
    until("a place in the queue", || fs::read_dir(&queue).is_ok_and(|mut names| names.next().is_some()) && !children().is_empty());
    let shim = children();
    child.kill().unwrap();
    child.wait().unwrap();
    until("its end", || is_gone(&shim));
    assert!(place.lock(&["release", "--as", "b", "src"]).status().unwrap().success());
    assert!(place.lock(&["acquire", "--as", "c", "src"]).status().unwrap().success(), "nobody is in the way");
    assert!(!place.path("started").exists());
}

#[test]
fn who_waits_is_served_when_the_command_ends() {
    let place = Place::new();
    let first = place.run(&[], "echo ready >ready; while [ ! -e go ]; do sleep 0.01; done").spawn().unwrap();
    line(&place.path("ready"));
    let mut second = place.lock(&["run", "--as", "b", "--wait", "src", "--", "sh", "-c", "cat; $LOCK list"]);
    let second = second.spawn().unwrap();
    let queue = place.path(".swarm/locks/queue");
    until("a place in the queue", || fs::read_dir(&queue).is_ok_and(|mut names| names.next().is_some()));
    fs::write(place.path("go"), "").unwrap();
    assert!(ends(first).status.success());
    let output = ends(second);
    assert!(output.status.success() && stdout(&output).contains("\"agent_id\":\"b\""), "{} {}", stdout(&output), stderr(&output));
    assert_eq!(place.events(), ["LOCKED", "RELEASED", "LOCKED", "RELEASED"]);
}

#[test]
fn a_child_that_the_command_leaves_behind_does_not_keep_the_lease() {
    let place = Place::new();
    let script = "sh -c 'echo $$ >pid; while [ ! -e go ]; do sleep 0.01; done' >/dev/null 2>&1 & while [ ! -s pid ]; do sleep 0.01; done";
    assert!(place.run(&[], script).status().unwrap().success());
    let left = line(&place.path("pid"));
    assert!(!is_gone(&left));
    assert_eq!(place.list(), "");
    assert!(place.lock(&["acquire", "--as", "b", "src"]).status().unwrap().success());
    fs::write(place.path("go"), "").unwrap();
    until("its end", || is_gone(&left));
}

#[test]
fn a_command_that_outlasts_the_span_holds_the_lease_to_its_end() {
    let place = Place::new();
    let script = "echo ready >ready; while [ ! -e go ]; do sleep 0.01; done; $LOCK check src";
    let child = place.run(&["--ttl", "1s"], script).spawn().unwrap();
    line(&place.path("ready"));
    let granted = Instant::now();
    until("three spans", || {
        let refused = place.lock(&["who", "--as", "b", "src"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "held by nobody after {:?}", granted.elapsed());
        granted.elapsed() > Duration::from_secs(3)
    });
    fs::write(place.path("go"), "").unwrap();
    let output = ends(child);
    assert_eq!((stdout(&output), stderr(&output)), ("{\"valid\":true,\"token\":1}\n".into(), String::new()));
    assert_eq!(place.events(), ["LOCKED", "RELEASED"]);
}

#[test]
fn stopped_past_its_span_and_continued_run_says_once_that_the_lease_is_gone_and_who_has_it() {
    let place = Place::new();
    let script = "echo ready >ready; while [ ! -e go ]; do sleep 0.01; done; exit 5";
    let child = place.run(&["--ttl", "1s"], script).stderr(fs::File::create(place.path("said")).unwrap()).spawn().unwrap();
    line(&place.path("ready"));
    let pid = child.id().to_string();
    signal("STOP", &pid);
    until("its stop", || state(&pid) == Some('T'));
    let taken = ends(place.lock(&["acquire", "--as", "b", "--wait=30s", "src"]).spawn().unwrap());
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    signal("CONT", &pid);
    until("it is told", || place.text("said").contains("the command goes on unguarded"));
    until("and by whom", || place.text("said").contains("src is held by b"));
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(ends(child).status.code(), Some(5), "the command was left alone");
    let said = place.text("said");
    assert_eq!(said.matches("is gone").count(), 1, "{said}");
    assert!(place.list().contains("\"agent_id\":\"b\""), "what another holds was not given back");
}

#[test]
fn a_lease_that_was_taken_away_is_told_at_the_end() {
    let place = Place::new();
    let script = "$LOCK release --as b --force --reason urgent src >/dev/null; exit 6";
    let output = place.run(&[], script).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let said = stderr(&output);
    assert!(said.contains("taken by b") && said.contains("urgent") && said.contains("was unguarded at its end"), "{said}");
}

#[test]
fn a_caller_that_ignores_the_end_of_its_children_gets_the_status_all_the_same() {
    let place = Place::new();
    let mut command = Command::new("env");
    command.args(["--ignore-signal=CHLD", "--ignore-signal=HUP", LOCK, "run", "--as", "a1", "src", "--", "sh", "-c"]);
    command.arg("grep -q 'SigIgn:.*1$' /proc/$$/status && kill -HUP $PPID && exit 8").current_dir(place.dir.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert_eq!(place.list(), "");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_it_would_without_run() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "{ $LOCK run --as a1 src -- yes; echo $? >status; } | head -1"]).env("LOCK", LOCK).current_dir(place.dir.path());
    assert_eq!(stdout(&command.output().unwrap()), "y\n");
    assert_eq!(line(&place.path("status")), "141");
    assert_eq!(place.list(), "");
}

#[test]
fn by_hand_what_run_starts_does_nothing_without_its_parent() {
    let place = Place::new();
    let output = place.lock(&["__command", "0", "1", "touch", "started"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let own = std::process::id().to_string();
    let output = place.lock(&["__command", "0", &own, "touch", "started"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "no token came: {}", stderr(&output));
    assert!(!place.path("started").exists());
}

/// A shell with job control in a terminal of its own.
struct Terminal {
    socket: String,
    dir: PathBuf,
}

impl Terminal {
    /// None where there is no tmux.
    fn new(place: &Place) -> Option<Terminal> {
        Command::new("tmux").arg("-V").output().ok()?;
        let terminal = Terminal { socket: place.path("tmux").display().to_string(), dir: place.dir.path().to_path_buf() };
        let mut tmux = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "50", "bash --norc -i"]);
        tmux.env("LOCK", LOCK).env("SWARM_AGENT", "a1").env("PS1", "ready$ ").env_remove("SWARM_STORE").env_remove("TMUX").process_group(0);
        assert!(tmux.status().unwrap().success());
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-S", &self.socket]).args(args).current_dir(&self.dir);
        tmux
    }

    fn keys(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status().unwrap().success());
    }

    fn screen(&self) -> String {
        stdout(&self.tmux(&["capture-pane", "-p"]).output().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).status();
    }
}

#[test]
fn a_key_of_the_terminal_is_not_passed_on_for_it_reaches_the_command_by_itself_and_a_signal_is() {
    let place = Place::new();
    let Some(terminal) = Terminal::new(&place) else { return };
    fs::write(place.path("count"), "trap 'echo INT >>got' INT; trap 'exit 3' TERM; echo $PPID >pid; while :; do sleep 0.01; done").unwrap();
    terminal.keys(&["$LOCK run src -- sh count; echo status $? >status", "Enter"]);
    let run = line(&place.path("pid"));
    terminal.keys(&["C-c"]);
    until("the key", || !place.text("got").is_empty());
    // In the foreground, but not from the keyboard.
    signal("INT", &run);
    until("the signal", || place.text("got").lines().count() >= 2);
    signal("TERM", &run);
    assert_eq!(line(&place.path("status")), "status 3");
    assert_eq!(place.text("got"), "INT\nINT\n");
    assert_eq!(place.list(), "");

    // Two that come at once may be one, so that does not show that the key was not passed on. A command that has left the terminal does.
    fs::write(
        place.path("apart"),
        "trap 'echo INT >>apart2' INT; trap 'echo USR1 >>apart2; exit' USR1; echo $PPID >pid2; while :; do sleep 0.01; done",
    )
    .unwrap();
    fs::write(place.path("beside"), "trap 'echo INT >typed' INT; echo ready >ready; while [ ! -e typed ]; do sleep 0.01; done").unwrap();
    terminal.keys(&["$LOCK run src -- setsid sh apart | sh beside", "Enter"]);
    let run = line(&place.path("pid2"));
    line(&place.path("ready"));
    terminal.keys(&["C-c"]);
    line(&place.path("typed"));
    signal("USR1", &run);
    until("the signal", || place.text("apart2").ends_with("USR1\n"));
    assert_eq!(place.text("apart2"), "USR1\n");
    until("its end", || place.list().is_empty());
}

#[test]
fn a_job_can_be_stopped_and_continued() {
    let place = Place::new();
    let Some(terminal) = Terminal::new(&place) else { return };
    // No children: a shell that waits for one to begin is not seen to be stopped.
    fs::write(place.path("loop"), "echo $$ >pid; while [ ! -e go ]; do :; done; exit 4").unwrap();
    // The whole group, as a key does it; and the command alone, as a sudo does it to itself.
    for is_alone in [false, true] {
        let _ = (fs::remove_file(place.path("go")), fs::remove_file(place.path("pid")), fs::remove_file(place.path("status")));
        terminal.keys(&["$LOCK run src -- sh loop", "Enter"]);
        let command = line(&place.path("pid"));
        if is_alone {
            signal("TSTP", &command);
        } else {
            terminal.keys(&["C-z"]);
        }
        until("the shell's word", || terminal.screen().contains("Stopped"));
        until("its stop", || state(&command) == Some('T'));
        assert!(!place.list().is_empty(), "it is held while it is stopped");
        terminal.keys(&["clear; fg; echo status $? >status", "Enter"]);
        until("its going on", || state(&command).is_some_and(|state| state != 'T'));
        fs::write(place.path("go"), "").unwrap();
        assert_eq!(line(&place.path("status")), "status 4", "{}", terminal.screen());
        assert_eq!(place.list(), "");
        assert!(!terminal.screen().contains("Stopped"), "{}", terminal.screen());
    }
}

#[test]
fn a_typed_interrupt_stops_the_loop_or_script_around_run_too() {
    let place = Place::new();
    let Some(terminal) = Terminal::new(&place) else { return };
    let rounds = "for i in 1 2 3; do $LOCK run src -- sh -c 'echo $$ >>rounds; exec sleep 1000'; done; echo on >went-on";
    fs::write(place.path("script"), rounds).unwrap();
    for (n, command) in [rounds, "bash script"].into_iter().enumerate() {
        terminal.keys(&[command, "Enter"]);
        until("the command", || place.text("rounds").lines().count() == n + 1);
        // Its shell has become the sleep: what the key ends is the command.
        let pid = place.text("rounds").lines().last().unwrap().to_string();
        until("its sleep", || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n"));
        terminal.keys(&["C-c"]);
        until("its end", || is_gone(&pid));
        terminal.keys(&[&format!("echo status $? >status{n}"), "Enter"]);
        assert_eq!(line(&place.path(&format!("status{n}"))), "status 130", "{}", terminal.screen());
        assert_eq!(place.text("rounds").lines().count(), n + 1, "{}", terminal.screen());
        assert!(!place.path("went-on").exists());
        assert_eq!(place.list(), "");
    }
}
