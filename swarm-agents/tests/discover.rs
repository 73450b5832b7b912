//! `discover`, against tmux servers of its own.

#![allow(clippy::unwrap_used, clippy::panic)]

mod tmux;

use std::fs;

use serde_json::Value;
use tmux::{Place, Server, answers, path_of, until};

/// A member of each answer; empty where it has none.
fn all(answers: &[Value], member: &str) -> Vec<String> {
    answers.iter().map(|answer| answer[member].as_str().unwrap_or_default().to_string()).collect()
}

/// What a call is told of tmux by its environment in a pane.
fn inside(place: &Place, server: &Server<'_>, pane: &str, arguments: &[&str]) -> (i32, Vec<Value>, String) {
    let mut call = place.agents(arguments);
    call.env("TMUX", server.variable()).env("TMUX_PANE", pane);
    answers(call)
}

/// An interpreter that calls itself node, and runs a script that calls itself codex.
fn node(place: &Place, server: &Server<'_>) -> String {
    fs::copy(tmux::program("sh"), place.path("bin/node")).unwrap();
    place.script("lib/node_modules/@openai/codex/bin/codex.js", "printf 'ready '\nread -r line\n");
    server.run(&[&place.text("bin/node"), &place.text("lib/node_modules/@openai/codex/bin/codex.js")])
}

/// A shell, as a user has it: with programs in the foreground and the background.
fn shell(server: &Server<'_>) -> String {
    server.run(&["sh", "-c", "echo ready; PS1='$ ' exec sh -i"])
}

#[test]
fn agents_are_found_and_others_are_shown_with_the_reason() {
    let place = Place::new();
    let server = place.server("default");
    let claude = server.agent("claude");
    let codex = node(&place, &server);
    let below = server.run(&["sh", "-c", &format!("{} {} -; true", place.text("bin/gemini"), place.text("ready"))]);
    fs::write(place.path("claude-notes.txt"), "ready ").unwrap();
    let notes = server.run(&["cat", &place.text("claude-notes.txt"), "-"]);
    server.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    let dead = server.agent("claude");
    server.tmux(&["send-keys", "-t", &dead, "C-d"]);
    server.wait_for_end(&dead);
    let back = shell(&server);
    // Stopped as soon as it reads from the terminal, and ended by the kernel when that goes away: it neither spins nor outlives the test.
    server.tmux(&["send-keys", "-t", &back, &format!("{} - &", place.text("bin/claude")), "Enter"]);
    let is_there = || place.ask(&["discover", "--all"]).1.iter().any(|answer| answer["why"] == "background");
    until("it is in the background", is_there);

    let (status, found, words) = place.ask(&["discover"]);
    assert_eq!((status, words.as_str()), (0, ""));
    assert_eq!(all(&found, "pane"), [claude.clone(), codex.clone(), below.clone()]);
    assert_eq!(all(&found, "kind"), ["claude", "codex", "gemini"]);
    assert_eq!(all(&found, "agent_id"), ["agent-0", "agent-1", "agent-2"]);
    assert_eq!(all(&found, "action"), ["register"; 3]);
    assert!(found.iter().all(|answer| answer["registered"] == false));
    assert_eq!(found[0]["pid"].to_string(), server.of(&claude, "pane_pid"));
    assert_eq!(found[2]["pane_pid"].to_string(), server.of(&below, "pane_pid"));
    assert_ne!(found[2]["pid"], found[2]["pane_pid"], "the agent is not the shell around it");
    assert_eq!(found[0]["server"]["socket"].as_str(), server.socket().to_str());
    assert_eq!((found[0]["server"]["pid"].as_i64(), found[0]["server"]["start"].is_string()), (Some(server.pid().into()), true));
    assert!(!place.path(".swarm/agents").exists(), "nothing was written");

    let (status, shown, _) = place.ask(&["discover", "--all"]);
    assert_eq!(status, 0);
    assert_eq!(all(&shown, "pane"), [claude, codex, below, notes, dead, back]);
    assert_eq!(all(&shown, "why"), ["", "", "", "no agent", "dead pane", "background"]);
    assert_eq!(all(&shown, "action")[3..], ["none"; 3]);
    assert_eq!(shown[4]["dead"], true);
}

#[test]
fn register_takes_them_and_the_living_stay_as_they_are() {
    let place = Place::new();
    let server = place.server("default");
    let panes = [server.agent("claude"), server.agent("codex")];
    let dry = place.ask(&["discover", "--register", "--dry-run", "--group", "backend"]);
    assert_eq!(all(&dry.1, "agent_id"), ["agent-0", "agent-1"]);
    assert!(!place.path(".swarm/agents").exists(), "a dry run changes nothing");

    let (status, found, words) = place.ask(&["discover", "--register", "--group", "backend", "--route", "wake"]);
    assert_eq!((status, words.as_str()), (0, ""));
    assert!(found.iter().all(|answer| answer["action"] == "register" && answer["registered"] == true), "{found:?}");
    let listed = place.ask(&["list"]).1;
    assert_eq!((all(&listed, "agent_id"), all(&listed, "pane")), (vec!["agent-0".into(), "agent-1".into()], panes.to_vec()));
    assert_eq!((all(&listed, "kind"), all(&listed, "route")), (vec!["claude".into(), "codex".into()], vec!["wake".to_string(); 2]));
    assert!(listed.iter().all(|agent| agent["groups"] == serde_json::json!(["backend"]) && agent["status"] == "active"));
    // In such a pane one knows who one is.
    assert_eq!(inside(&place, &server, &panes[1], &["whoami"]).1[0]["agent_id"], "agent-1");

    let before = fs::read(place.path(".swarm/agents/agent-0.json")).unwrap();
    let third = server.agent("gemini");
    let (status, found, _) = place.ask(&["discover", "--register"]);
    assert_eq!((status, all(&found, "action")), (0, ["keep", "keep", "register"].map(String::from).to_vec()));
    assert_eq!((found[2]["agent_id"].as_str(), found[2]["pane"].as_str()), (Some("agent-2"), Some(third.as_str())));
    assert_eq!(fs::read(place.path(".swarm/agents/agent-0.json")).unwrap(), before);
    assert_eq!(place.ask(&["list"]).1[2]["route"], "pane");
}

#[test]
fn one_that_was_started_again_in_its_pane_keeps_its_id() {
    let place = Place::new();
    let server = place.server("default");
    let pane = shell(&server);
    let start = |name: &str| {
        server.tmux(&["send-keys", "-t", &pane, &format!("{} -", place.text(&format!("bin/{name}"))), "Enter"]);
        until("it runs", || place.ask(&["discover"]).1.iter().any(|found| found["kind"] == name && found["pane"] == pane.as_str()));
    };
    start("claude");
    let called = ["register", "Ann", "--pane", &pane, "--group", "db", "--description", "the database", "--pid"];
    let pid = place.ask(&["discover"]).1[0]["pid"].to_string();
    assert_eq!(place.ask(&[&called[..], &[&pid]].concat()).0, 0);
    let first = place.ask(&["discover", "--register"]).1;
    assert_eq!((all(&first, "action"), all(&first, "agent_id")), (vec!["keep".to_string()], vec!["Ann".to_string()]));

    server.tmux(&["send-keys", "-t", &pane, "C-d"]);
    until("it has ended", || place.ask(&["discover"]).0 == 1);
    // Meanwhile a new one elsewhere does not get its id, which it has no right to yet.
    start("codex");
    let (status, again, _) = place.ask(&["discover", "--register"]);
    assert_eq!((status, all(&again, "action"), all(&again, "agent_id")), (0, vec!["update".to_string()], vec!["Ann".to_string()]));
    let listed = place.ask(&["list"]).1;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0]["kind"].as_str(), listed[0]["status"].as_str()), (Some("codex"), Some("active")));
    assert_eq!((&listed[0]["groups"], listed[0]["description"].as_str()), (&serde_json::json!(["db"]), Some("the database")));
    assert_ne!(listed[0]["pid"].to_string(), pid);
    assert_eq!(all(&place.ask(&["discover", "--register"]).1, "action"), ["keep"]);
}

#[test]
fn several_servers_are_looked_at_and_a_new_one_on_the_same_socket_is_another() {
    let place = Place::new();
    let (one, two) = (place.server("one"), place.server("two"));
    one.agent("claude");
    two.agent("codex");
    let socket = two.socket();
    let both = ["discover", "--register", "-L", "one", "-S", socket.to_str().unwrap()];
    let (status, found, _) = place.ask(&both);
    assert_eq!(
        (status, all(&found, "pane"), all(&found, "agent_id")),
        (0, vec!["%0".to_string(); 2], vec!["agent-0".into(), "agent-1".into()])
    );
    assert_eq!(all(&place.ask(&["discover", "-L", "two"]).1, "agent_id"), ["agent-1"]);
    // Named twice, it is asked once.
    assert_eq!(place.ask(&["discover", "-L", "two", "-S", socket.to_str().unwrap()]).1.len(), 1);

    one.end();
    one.agent("gemini");
    let (_, found, _) = place.ask(&both);
    assert_eq!(
        (all(&found, "action"), all(&found, "agent_id")),
        (vec!["register".into(), "keep".to_string()], vec!["agent-0".into(), "agent-1".into()])
    );
    assert_eq!(place.ask(&["list"]).1[0]["kind"], "gemini");

    // One that does not run is told, and the other is found all the same.
    let (status, found, words) = place.ask(&["discover", "-L", "none", "-L", "two"]);
    assert_eq!((status, found.len()), (0, 1));
    assert!(words.contains("no tmux server is running") && words.contains("tmux-"), "{words}");
}

#[test]
fn inside_of_tmux_it_is_the_panes_own_server() {
    let place = Place::new();
    let (own, other) = (place.server("own"), place.server("default"));
    let pane = own.agent("claude");
    other.agent("codex");
    assert_eq!(all(&inside(&place, &own, &pane, &["discover"]).1, "kind"), ["claude"]);
    assert_eq!(all(&place.ask(&["discover"]).1, "kind"), ["codex"]);
    assert_eq!(all(&inside(&place, &own, &pane, &["discover", "-L", "default"]).1, "kind"), ["codex"]);
}

#[test]
fn where_nobody_is_the_answer_is_no_and_says_what_to_do() {
    let place = Place::new();
    let (status, found, words) = place.ask(&["discover"]);
    assert_eq!((status, found.len()), (1, 0));
    assert!(words.contains("no tmux server is running") && words.contains("tmux new-session"), "{words}");

    let server = place.server("default");
    let pane = shell(&server);
    let (status, found, words) = place.ask(&["discover"]);
    assert_eq!((status, found.len()), (1, 0));
    assert!(
        words.contains("no agent runs in the one pane") && words.contains("discover --all") && words.contains("claude, codex"),
        "{words}"
    );
    let (status, found, _) = place.ask(&["discover", "--all"]);
    assert_eq!((status, all(&found, "pane")), (1, vec![pane]));

    fs::write(place.path(".swarm/config.toml"), "[tmux]\ntimeout_ms = 20000\n[agents]\nnames = [\"sh\"]\n").unwrap();
    assert_eq!(all(&place.ask(&["discover"]).1, "kind"), ["sh"], "the names are the user's");
}

#[test]
fn without_tmux_the_word_is_clear_and_the_status_3() {
    let place = Place::new();
    path_of(&place.path("empty"), &[]);
    let mut call = place.agents(&["discover"]);
    call.env("PATH", place.path("empty"));
    let (status, found, words) = answers(call);
    assert_eq!((status, found.len()), (3, 0));
    assert!(
        words.contains("tmux is not installed") && words.contains("apt install tmux") && words.contains("swarm-tail --inbox"),
        "{words}"
    );
}

#[test]
fn a_variable_of_a_server_that_has_ended_is_told() {
    let place = Place::new();
    let mut call = place.agents(&["discover"]);
    call.env("TMUX", format!("{},4711,0", place.text("tmux/gone"))).env("TMUX_PANE", "%0");
    let (status, _, words) = answers(call);
    assert_eq!(status, 1);
    assert!(words.contains("$TMUX names a server that has ended") && words.contains("unset TMUX"), "{words}");
}

#[test]
fn a_server_that_was_stopped_costs_the_time_limit_and_the_status_3() {
    let place = Place::new();
    let server = place.server("default");
    server.agent("claude");
    fs::write(place.path(".swarm/config.toml"), "[tmux]\ntimeout_ms = 200\n").unwrap();
    let stopped = server.stop();
    let (status, found, words) = place.ask(&["discover"]);
    drop(stopped);
    assert_eq!((status, found.len()), (3, 0));
    assert!(words.contains("does not answer within 200 ms") && words.contains("timeout_ms"), "{words}");
    assert_eq!(place.ask(&["discover"]).0, 0);
}

#[test]
fn two_calls_at_once_give_no_id_and_no_pane_twice() {
    let place = Place::new();
    let server = place.server("default");
    for _ in 0..6 {
        server.agent("claude");
    }
    for _ in 0..5 {
        let _ = fs::remove_dir_all(place.path(".swarm/agents"));
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| place.ask(&["discover", "--register"]))).collect();
            for call in calls {
                let (status, found, words) = call.join().unwrap();
                assert_eq!((status, found.len(), words.as_str()), (0, 6, ""));
            }
        });
        let listed = place.ask(&["list"]).1;
        let mut panes = all(&listed, "pane");
        panes.dedup();
        assert_eq!((all(&listed, "agent_id"), panes.len()), ((0..6).map(|n| format!("agent-{n}")).collect(), 6));
    }
}

#[test]
fn a_wrong_call_is_told() {
    let place = Place::new();
    for (arguments, word) in [
        (&["discover", "--route", "post"][..], "no route"),
        (&["discover", "--group", "a b"], "--group"),
        (&["discover", "-L", "a/b"], "no name of a tmux server"),
        (&["discover", "-S", ""], "-S"),
        (&["discover", "x"], "x"),
    ] {
        let (status, found, words) = place.ask(arguments);
        assert_eq!((status, found.len()), (2, 0), "{arguments:?}");
        assert!(words.contains(word), "{arguments:?}: {words}");
    }
}
