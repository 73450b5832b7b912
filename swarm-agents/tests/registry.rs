//! `swarm-agents` as its users call it: who is registered, where, and until when. What has to do with panes runs in a real tmux.

#![allow(clippy::unwrap_used, clippy::panic)]

mod tmux;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tmux::{Place, Server, answers, until};

/// A call in a pane, as far as its environment goes.
fn within(place: &Place, server: &Server<'_>, pane: &str, arguments: &[&str]) -> assert_cmd::Command {
    let mut call = place.agents(arguments);
    call.env("TMUX", server.variable()).env("TMUX_PANE", pane);
    call
}

/// A place with this in its config, in which no program is an agent CLI: the tests may be run by one.
fn plain(config: &str) -> Place {
    let place = Place::new();
    fs::write(place.path(".swarm/config.toml"), format!("[agents]\nnames = []\n{config}")).unwrap();
    place
}

/// A process that sleeps, and has ended when it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Sleeper {
        Sleeper(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ids(place: &Place, arguments: &[&str]) -> Vec<String> {
    let (_, answers, _) = place.ask(arguments);
    answers.iter().map(|answer| answer["agent_id"].as_str().unwrap().to_string()).collect()
}

#[test]
fn who_registers_is_listed_under_his_id_until_he_unregisters() {
    let place = plain("");
    assert_eq!(place.ask(&["list"]), (1, vec![], String::new()));
    assert!(!place.path(".swarm/agents").exists(), "who looks makes nothing");
    let (status, registered, words) =
        place.ask(&["register", "Agent-1", "-g", "a", "--group", "b", "-g", "A", "--description", "does\nthings\u{1b}"]);
    assert_eq!((status, words.as_str(), &registered[0]["event"]), (0, "", &json!("registered")));
    let (status, listed, _) = place.ask(&["list"]);
    let listed = &listed[0];
    assert_eq!(
        (status, &listed["agent_id"], &listed["status"], &listed["route"]),
        (0, &json!("Agent-1"), &json!("active"), &json!("inbox"))
    );
    assert_eq!((&listed["groups"], &listed["description"]), (&json!(["a", "b"]), &json!("does things")));
    for absent in ["event", "pane", "server", "pid", "kind", "shell_ok"] {
        assert_eq!(listed.get(absent), None, "{absent}");
    }
    let mode = |path: &str| fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".swarm/agents"), mode(".swarm/agents/agent-1.json")), (0o700, 0o600));
    assert_eq!(ids(&place, &["list", "--group", "B"]), ["Agent-1"]);
    place.agents(&["list", "--group", "c"]).assert().code(1).stdout("");
    let (status, gone, _) = place.ask(&["unregister", "AGENT-1", "nobody"]);
    assert_eq!((status, &gone[0]["event"], &gone[1]["error"]), (1, &json!("unregistered"), &json!("not registered")));
    place.agents(&["list"]).assert().code(1).stdout("");
}

#[test]
fn registered_again_he_is_found_anew_and_is_what_he_was() {
    let place = plain("");
    let sleeper = Sleeper::new();
    let first = place.ask(&["register", "a", "-g", "x", "--description", "one", "--kind", "claude", "--pid", &sleeper.pid()]).1;
    assert_eq!((&first[0]["pid"], &first[0]["kind"]), (&json!(sleeper.0.id()), &json!("claude")));
    let again = place.ask(&["register", "A", "--pid", &sleeper.pid()]).1;
    assert_eq!((&again[0]["event"], &again[0]["agent_id"], &again[0]["groups"]), (&json!("updated"), &json!("A"), &json!(["x"])));
    assert_eq!((&again[0]["description"], &again[0]["kind"]), (&json!("one"), &json!("claude")));
    assert_eq!(again[0]["registered_at"], first[0]["registered_at"]);
    assert_eq!(ids(&place, &["list"]), ["A"], "in another case it is the same agent");
    let other = place.ask(&["register", "a", "--pid", &sleeper.pid(), "-g", "", "--description", ""]).1;
    assert_eq!((other[0].get("groups"), other[0].get("description")), (None, None));
}

#[test]
fn what_is_wrong_with_a_call_is_told_and_nothing_is_registered() {
    let place = plain("");
    fs::write(place.path("torn.json"), "{\"agents\":[").unwrap();
    fs::write(place.path("other.json"), "{\"agent\":[]}").unwrap();
    for (arguments, why) in [
        (&["register"][..], "<ID>"),
        (&["register", "a b"], "agent id: 'a b' is no agent id"),
        (&["register", "@all"], "is no agent id"),
        (&["register", "All"], "would be taken for @all"),
        (&["register", "a", "--pid", "2147483647"], "--pid 2147483647: no such process is alive"),
        (&["register", "a", "--pid", "x"], "not a whole number"),
        (&["register", "a", "--route", "pigeon"], "'pigeon' is no route"),
        (&["register", "a", "--route", "pane"], "the route pane needs a pane"),
        (&["register", "a", "--group", "all"], "'@all' is everybody"),
        (&["register", "a", "--group", "@b"], "--group: '@b'"),
        (&["register", "a", "--kind", "a b"], "--kind: 'a b'"),
        (&["register", "a", "--description", &"x".repeat(201)], "201 bytes"),
        (&["register", "a", "--pane", "0"], "'0' is no pane"),
        (&["register", "a", "--pane", "%0;"], "'%0;' is no pane"),
        (&["register", "a", "-L", "x"], "-L and -S say whose pane --pane is"),
        (&["beat"], "who are you?"),
        (&["beat", "--as", "a b"], "--as: 'a b'"),
        (&["list", "--group", "@b"], "--group: '@b'"),
        (&["unregister"], "who are you?"),
        (&["import", "no-such-file"], "no such file"),
        (&["import", "torn.json"], "no registry of the Python program: "),
        (&["import", "other.json"], "it has no list \"agents\""),
    ] {
        place.agents(arguments).assert().code(2).stdout("").stderr(contains(why));
    }
    place.agents(&["whoami"]).assert().code(1).stderr(contains("--as").and(contains("SWARM_AGENT")).and(contains("swarm-agents register")));
    place.agents(&["beat", "--as", "a"]).assert().code(1).stderr(contains("a is not registered").and(contains("register a")));
    assert!(!place.path(".swarm/agents/a.json").exists());
}

#[test]
fn an_agent_is_gone_with_its_process_and_may_then_be_registered_elsewhere_or_pruned() {
    let place = plain("");
    let mut sleeper = Sleeper::new();
    place.agents(&["register", "a", "--pid", &sleeper.pid()]).assert().code(0);
    place.agents(&["register", "b"]).assert().code(0);
    let other = Sleeper::new();
    let refused = place.agents(&["register", "A", "--pid", &other.pid()]).assert().code(1);
    refused.stdout(contains(r#""status":"refused""#)).stderr(contains("as the process").and(contains("--force")));
    sleeper.end();
    let status = |place: &Place| place.ask(&["list"]).1[0]["status"].clone();
    assert_eq!((status(&place), ids(&place, &["list", "--alive"])), (json!("gone"), vec!["b".to_string()]));
    place.agents(&["register", "A", "--pid", &other.pid()]).assert().code(0);
    assert_eq!(status(&place), "active");
    place.agents(&["register", "A", "--force"]).assert().code(0).stdout(contains(r#""event":"updated""#));
    place.agents(&["register", "c", "--pid", &other.pid()]).assert().code(0);
    drop(other);
    let (code, pruned, _) = place.ask(&["prune"]);
    assert_eq!((code, pruned.len(), &pruned[0]["agent_id"]), (0, 1, &json!("c")));
    assert_eq!(ids(&place, &["list"]), ["A", "b"]);
}

#[test]
fn who_is_not_heard_of_is_stale_until_he_says_that_he_is_alive() {
    let place = plain("stale_after = \"1h\"\n");
    place.agents(&["register", "a"]).assert().code(0);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(4000);
    fs::File::open(place.path(".swarm/agents/a.json")).unwrap().set_modified(old).unwrap();
    assert_eq!(place.ask(&["list"]).1[0]["status"], "stale");
    let mut beat = place.agents(&["beat"]);
    beat.env("SWARM_AGENT", "A").assert().code(0).stdout("");
    assert_eq!(place.ask(&["list"]).1[0]["status"], "active");
}

#[test]
fn in_its_pane_an_agent_needs_no_name_and_no_other_takes_the_pane() {
    let place = Place::new();
    let server = place.server("one");
    let (pane, other) = (server.agent("claude"), server.agent("codex"));
    let (code, registered, words) = answers(within(&place, &server, &pane, &["register", "one", "--pane", &pane]));
    let agent = &registered[0];
    assert_eq!((code, words.as_str(), &agent["route"], &agent["pane"]), (0, "", &json!("pane"), &json!(pane)));
    assert_eq!((&agent["kind"], agent["pid"].to_string()), (&json!("claude"), server.of(&pane, "pane_pid")));
    assert_eq!(agent["server"]["pid"], server.pid());
    let me = |pane: &str, arguments: &[&str]| answers(within(&place, &server, pane, arguments));
    let (code, answer, _) = me(&pane, &["whoami"]);
    assert_eq!(
        (code, &answer[0]["agent_id"], &answer[0]["by"], &answer[0]["registered"]),
        (0, &json!("one"), &json!("pane"), &json!(true))
    );
    assert_eq!(me(&other, &["whoami"]).0, 1, "the pane beside it");
    assert_eq!(me(&pane, &["beat"]).0, 0);
    let (code, _, words) = me(&pane, &["whoami", "--as", "two"]);
    assert!(code == 2 && words.contains("--as says 'two'") && words.contains("registered to 'one'"), "{words}");
    let (code, refused, words) = me(&pane, &["register", "two", "--pane", &pane]);
    assert!(code == 1 && words.contains("is one's") && refused[0]["status"] == "refused", "{words}");
    let (code, _, words) = me(&other, &["register", "ONE"]);
    assert!(code == 1 && words.contains(&format!("in the pane {pane}")), "{words}");
    assert_eq!(me(&pane, &["register", "two", "--pane", &pane, "--force"]).0, 0);
    assert_eq!((ids(&place, &["list"]), me(&pane, &["whoami"]).1[0]["agent_id"].clone()), (vec!["two".to_string()], json!("two")));
    assert_eq!(me(&pane, &["unregister"]).1[0]["agent_id"], "two");
    assert_eq!(me(&pane, &["whoami"]).0, 1);
}

#[test]
fn a_pane_that_closed_and_one_of_a_new_server_are_nobodys() {
    let place = Place::new();
    let server = place.server("one");
    let (first, second) = (server.agent("claude"), server.agent("codex"));
    for (id, pane) in [("a", &first), ("b", &second)] {
        place.agents(&["register", id, "-L", "one", "--pane", pane]).assert().code(0);
    }
    server.tmux(&["kill-pane", "-t", &first]);
    until("it is gone", || ids(&place, &["list", "--alive"]) == ["b"]);
    let (variable, pid) = (server.variable(), server.pid());
    server.end();
    assert_eq!(ids(&place, &["list", "--alive"]), Vec::<String>::new());
    // The panes have the same ids again.
    assert_eq!((server.agent("claude"), server.agent("codex")), (first.clone(), second.clone()));
    assert_ne!(server.pid(), pid);
    place.agents(&["whoami"]).env("TMUX", variable).env("TMUX_PANE", &second).assert().code(1);
    assert_eq!(answers(within(&place, &server, &second, &["whoami"])).0, 1);
    assert_eq!(ids(&place, &["list", "--alive"]), Vec::<String>::new());
    place.agents(&["register", "b", "-L", "one", "--pane", &second]).assert().code(0);
    assert_eq!(answers(within(&place, &server, &second, &["whoami"])).1[0]["agent_id"], "b");
}

#[test]
fn of_two_that_claim_one_pane_at_once_one_has_it() {
    let place = Place::new();
    let server = place.server("one");
    let pane = server.agent("claude");
    for round in 0..5 {
        let claims: Vec<_> = ["a", "b"]
            .map(|id| {
                let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-agents"));
                call.args(["register", id, "-S", server.socket().to_str().unwrap(), "--pane", &pane]).current_dir(place.path(""));
                call.env_remove("TMUX").env_remove("SWARM_STORE").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .into_iter()
            .map(|mut claim| claim.wait().unwrap().code().unwrap())
            .collect();
        assert!(claims == [0, 1] || claims == [1, 0], "{round}: {claims:?}");
        let winner = if claims[0] == 0 { "a" } else { "b" };
        assert_eq!(ids(&place, &["list"]), [winner]);
        place.agents(&["unregister", winner]).assert().code(0);
    }
}

#[test]
fn where_tmux_cannot_be_reached_an_agent_reads_by_itself_and_is_known_by_its_pane_all_the_same() {
    let place = Place::new();
    let server = place.server("one");
    let pane = server.run(&["sh", "-c", "printf 'ready '; exec sh"]);
    // As in a sandbox: no tmux in $PATH.
    let bin = place.path("without");
    tmux::path_of(&bin, &["cat", "cut"]);
    let tool = env!("CARGO_BIN_EXE_swarm-agents");
    let line = format!("PATH={}; {tool} register a --pid $$; {tool} whoami | cut -c 1-80; echo done", bin.display());
    server.tmux(&["send-keys", "-t", &pane, "-l", &line]);
    server.tmux(&["send-keys", "-t", &pane, "Enter"]);
    until("it is registered", || place.ask(&["list"]).0 == 0);
    let listed = &place.ask(&["list"]).1[0];
    assert_eq!(
        (&listed["route"], &listed["pane"], listed["pane_pid"].to_string()),
        (&json!("inbox"), &json!(pane), server.of(&pane, "pane_pid"))
    );
    server.wait_for(&pane, r#""by":"pane""#);
    assert!(server.tmux(&["capture-pane", "-pJ", "-t", &pane]).contains("tmux is not installed"));
    let mut asked = within(&place, &server, &pane, &["register", "b", "--route", "pane"]);
    asked.env("PATH", &bin).assert().code(3).stderr(contains("tmux is not installed"));
    let _stopped = server.stop();
    let silent = place.agents(&["register", "b", "-L", "one", "--pane", &pane]).assert().code(3);
    silent.stderr(contains("does not answer"));
}

#[test]
fn a_file_that_is_no_record_is_told_with_the_way_out_and_hides_nobody_else() {
    let place = Place::new();
    let server = place.server("one");
    let pane = server.agent("claude");
    for id in ["a", "b"] {
        place.agents(&["register", id]).assert().code(0);
    }
    place.agents(&["register", "c", "-L", "one", "--pane", &pane]).assert().code(0);
    for id in ["a", "c"] {
        fs::write(place.path(&format!(".swarm/agents/{id}.json")), "garbage\u{1b}[31m").unwrap();
    }
    let (code, listed, words) = place.ask(&["list"]);
    assert_eq!((code, listed.len(), &listed[0]["agent_id"]), (0, 1, &json!("b")));
    assert!(words.contains("a.json is no agent's record") && words.contains("swarm-agents unregister a"), "{words}");
    let whoami = |arguments: &[&str]| answers(within(&place, &server, &pane, arguments));
    let (code, _, words) = whoami(&["whoami"]);
    assert!(code == 3 && words.contains("c.json") && words.contains("register c"), "{words}");
    assert_eq!(whoami(&["whoami", "--as", "b"]).0, 0, "who says who he is is not kept from it");
    place.agents(&["register", "c", "-L", "one", "--pane", &pane]).assert().code(0);
    assert_eq!(whoami(&["whoami"]).1[0]["agent_id"], "c");
    place.agents(&["unregister", "a"]).assert().code(0);
    assert_eq!(ids(&place, &["list"]), ["b", "c"]);
}

#[test]
fn a_store_that_cannot_be_written_to_is_told_and_can_be_read() {
    let place = plain("");
    place.agents(&["register", "a"]).assert().code(0);
    let full = ["sh", "-c", r#"ulimit -f 0; exec "$0" "$@""#, env!("CARGO_BIN_EXE_swarm-agents")];
    let mut call = assert_cmd::Command::new(full[0]);
    call.args(&full[1..]).args(["register", "b"]).current_dir(place.path("")).env_remove("TMUX").env_remove("SWARM_STORE");
    call.assert().code(3).stdout("").stderr(contains("agents/.new: File too large"));
    assert_eq!(ids(&place, &["list"]), ["a"], "nothing is left of it");
    assert!(!place.path(".swarm/agents/.new").exists());
    if nix::unistd::geteuid().is_root() {
        return;
    }
    fs::set_permissions(place.path(".swarm/agents"), fs::Permissions::from_mode(0o500)).unwrap();
    place.agents(&["register", "b"]).assert().code(3).stderr(contains("Permission denied"));
    assert_eq!(ids(&place, &["list"]), ["a"]);
    fs::set_permissions(place.path(".swarm/agents"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_python_programs_agents_are_taken_over_where_their_panes_are_there_yet() {
    let place = Place::new();
    let data = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ACTIVE_AGENTS.json")).unwrap();
    fs::write(place.path("gone.json"), &data).unwrap();
    let (code, answers, words) = place.ask(&["import", "gone.json", "-L", "none"]);
    assert_eq!((code, answers.len(), &answers[0]), (0, 7, &json!({"status": "skipped", "agent_id": "agent-0", "why": "gone"})));
    assert!(words.contains("0 taken over, 7 gone, 0 left out"), "{words}");
    let server = place.server("one");
    let (claude, shell) = (server.agent("claude"), server.run(&["sh", "-c", "printf 'ready '; exec sh"]));
    let data = data.replace("16854", &server.of(&claude, "pane_pid")).replace("16859", &server.of(&shell, "pane_pid"));
    let data = data.replace("\"agent-2\"", "\"agent 2\"").replace("16864", &server.of(&claude, "pane_pid"));
    fs::write(place.path("ACTIVE_AGENTS.json"), data).unwrap();
    let (code, answers, words) = place.ask(&["import", "ACTIVE_AGENTS.json", "-L", "one"]);
    assert_eq!((code, answers.len(), &answers[2]["why"]), (1, 7, &json!("agent_id")), "{words}");
    assert!(words.contains("2 taken over, 4 gone, 1 left out"), "{words}");
    let listed = place.ask(&["list"]).1;
    let seen: Vec<_> = listed.iter().map(|agent| (&agent["agent_id"], &agent["pane"], agent.get("kind"))).collect();
    assert_eq!(seen, [(&json!("agent-0"), &json!(claude), Some(&json!("claude"))), (&json!("agent-1"), &json!(shell), None)]);
    place.agents(&["import", "ready"]).assert().code(2).stderr(contains("no registry of the Python program"));
}

/// `watch`, and what it told.
struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn begin(place: &Place, arguments: &[&str]) -> Watching {
        let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-agents"));
        call.arg("watch").args(arguments).current_dir(place.path("")).env_remove("SWARM_STORE").stdout(Stdio::piped());
        let mut child = call.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Watching { child, lines }
    }

    fn next(&mut self) -> (String, String) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        (answer["event"].as_str().unwrap().to_string(), answer["agent_id"].as_str().unwrap().to_string())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn told(event: &str, id: &str) -> (String, String) {
    (event.to_string(), id.to_string())
}

#[test]
fn who_watches_is_told_when_somebody_comes_changes_falls_silent_and_goes() {
    let place = plain("stale_after = \"300ms\"\n");
    let mut sleeper = Sleeper::new();
    place.agents(&["register", "a", "--pid", &sleeper.pid()]).assert().code(0);
    let mut watching = Watching::begin(&place, &["--list"]);
    assert_eq!(watching.next(), told("present", "a"));
    place.agents(&["register", "a", "--pid", &sleeper.pid(), "--description", "new"]).assert().code(0);
    assert_eq!(watching.next(), told("updated", "a"));
    place.agents(&["register", "b"]).assert().code(0);
    assert_eq!(watching.next(), told("registered", "b"));
    assert_eq!(watching.next(), told("stale", "b"), "by its time alone");
    place.agents(&["beat", "--as", "b"]).assert().code(0);
    assert_eq!(watching.next(), told("active", "b"));
    sleeper.end();
    let mut next: Vec<_> = std::iter::repeat_with(|| watching.next()).take(2).collect();
    next.sort();
    assert_eq!(next, [told("gone", "a"), told("stale", "b")], "by its process alone");
    place.agents(&["prune"]).assert().code(0);
    assert_eq!(watching.next(), told("unregistered", "a"));
    let Watching { child, lines } = &mut watching;
    assert_eq!(lines.buffer(), b"");
    drop(std::mem::replace(lines, BufReader::new(Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap())));
    until("it ends with its reader", || child.try_wait().unwrap().is_some_and(|status| status.success()));
}

#[test]
fn who_watches_an_agent_in_a_pane_is_told_when_its_server_ends() {
    let place = Place::new();
    let server = place.server("one");
    let pane = server.agent("claude");
    let sleeper = Sleeper::new();
    place.agents(&["register", "a", "-L", "one", "--pane", &pane, "--pid", &sleeper.pid()]).assert().code(0);
    let mut watching = Watching::begin(&place, &["--list"]);
    assert_eq!(watching.next(), told("present", "a"));
    server.end();
    assert_eq!(watching.next(), told("gone", "a"));
}
