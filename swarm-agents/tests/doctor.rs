//! `doctor`, with what can be wrong made wrong.

#![allow(clippy::unwrap_used, clippy::panic)]

mod tmux;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tmux::{Place, answers, path_of};

/// What is said of one check; of an agent, by its id.
fn of<'a>(answers: &'a [Value], check: &str) -> &'a Value {
    answers.iter().find(|answer| answer["check"] == check || answer["agent_id"] == check).unwrap_or(&Value::Null)
}

/// The checks that are wrong.
fn wrong(answers: &[Value]) -> Vec<&str> {
    answers.iter().filter(|answer| answer["ok"] == false).map(|answer| answer["check"].as_str().unwrap()).collect()
}

#[test]
fn where_all_is_well_each_check_says_so_and_nothing_is_changed() {
    let place = Place::new();
    let server = place.server("default");
    let pane = server.agent("claude");
    assert_eq!(place.ask(&["discover", "--register"]).0, 0);
    let before = listing(&place);
    let (status, found, words) = place.ask(&["doctor"]);
    assert_eq!((status, wrong(&found), words.as_str()), (0, vec![], ""), "{found:?}");
    for check in ["store", "config", "journal", "disk", "space", "watching", "boot", "processes", "tmux", "server", "identity", "agent"] {
        assert_eq!(of(&found, check)["ok"], true, "{check}");
    }
    assert_eq!((of(&found, "store")["mode"].as_str(), of(&found, "store")["by"].as_str()), (Some("700"), Some("directory")));
    assert!(of(&found, "tmux")["version"].as_str().unwrap().starts_with(char::is_numeric));
    assert_eq!((of(&found, "server")["socket"].as_str(), &of(&found, "server")["panes"]), (server.socket().to_str(), &1.into()));
    assert!(of(&found, "space")["free_bytes"].as_u64() > Some(0));
    let agent = of(&found, "agent-0");
    assert_eq!(
        (agent["reachable"].as_bool(), agent["route"].as_str(), agent["pane"].as_str()),
        (Some(true), Some("pane"), Some(pane.as_str()))
    );
    assert_eq!(listing(&place), before);
}

fn listing(place: &Place) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(place.path(".swarm")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn why_an_agent_is_not_reached_is_told_with_what_to_do() {
    let place = Place::new();
    let server = place.server("default");
    server.tmux_start();
    server.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    let [mode, off, synchronized, dead, replaced, closed] = [(); 6].map(|()| server.agent("claude"));
    assert_eq!(place.ask(&["discover", "--register"]).0, 0);
    let shell = server.run(&["sh", "-c", "echo ready; exec sh -i"]);
    let allowed = server.run(&["sh", "-c", "echo ready; exec sh -i"]);
    for (id, arguments) in
        [("shell", &["--pane", &shell][..]), ("allowed", &["--pane", &allowed, "--shell-ok"]), ("inbox", &["--route", "inbox"])]
    {
        assert_eq!(place.ask(&[&["register", id][..], arguments].concat()).0, 0, "{id}");
    }
    server.tmux(&["copy-mode", "-t", &mode]);
    server.tmux(&["select-pane", "-d", "-t", &off]);
    server.tmux(&["set-option", "-w", "-t", &synchronized, "synchronize-panes", "on"]);
    server.tmux(&["send-keys", "-t", &dead, "C-d"]);
    server.wait_for_end(&dead);
    server.tmux(&["respawn-pane", "-k", "-t", &replaced, &place.text("bin/codex"), "-"]);
    server.tmux(&["kill-pane", "-t", &closed]);

    let (status, found, words) = place.ask(&["doctor"]);
    assert_eq!(status, 1);
    for (id, why, hint) in [
        ("agent-0", "mode", "tmux send-keys -X"),
        ("agent-1", "input off", "tmux select-pane -e"),
        ("agent-2", "synchronized", "synchronize-panes off"),
        ("agent-3", "dead pane", "respawn-pane"),
        ("agent-4", "another process in the pane", "discover --register"),
        ("agent-5", "no such pane", "swarm-agents prune"),
        ("shell", "shell", "--shell-ok"),
    ] {
        let agent = of(&found, id);
        assert_eq!((agent["why"].as_str(), &agent["reachable"], &agent["ok"]), (Some(why), &false.into(), &false.into()), "{id}");
        assert!(agent["hint"].as_str().unwrap().contains(hint), "{id}: {agent}");
        assert!(words.contains(&format!("{id} is not reached")), "{words}");
    }
    for id in ["allowed", "inbox"] {
        assert_eq!(of(&found, id)["reachable"], true, "{id}: {}", of(&found, id));
    }

    // What it says to do helps.
    server.tmux(&["send-keys", "-X", "-t", &mode, "cancel"]);
    server.tmux(&["select-pane", "-e", "-t", &off]);
    server.tmux(&["set-option", "-w", "-t", &synchronized, "synchronize-panes", "off"]);
    let found = place.ask(&["doctor"]).1;
    for id in ["agent-0", "agent-1", "agent-2"] {
        assert_eq!(of(&found, id)["reachable"], true, "{id}: {}", of(&found, id));
    }
}

#[test]
fn a_server_that_ended_and_one_in_its_place_are_told() {
    let place = Place::new();
    let server = place.server("default");
    let pane = server.agent("claude");
    let variable = server.variable();
    assert_eq!(place.ask(&["discover", "--register"]).0, 0);
    let inside = || {
        let mut call = place.agents(&["doctor"]);
        call.env("TMUX", &variable).env("TMUX_PANE", &pane);
        answers(call)
    };
    let (status, found, _) = inside();
    assert_eq!((status, of(&found, "environment")["pane"].as_str()), (0, Some(pane.as_str())));
    assert_eq!(of(&found, "identity")["agent_id"], "agent-0", "{found:?}");

    server.end();
    let (status, found, words) = inside();
    assert_eq!((status, of(&found, "agent-0")["why"].as_str()), (1, Some("gone")));
    assert!(words.contains("$TMUX names a server that has ended") && words.contains("unset TMUX"), "{words}");
    server.agent("claude");
    let (_, found, words) = inside();
    assert_eq!(of(&found, "agent-0")["why"], "another tmux server");
    assert!(words.contains("another one (pid "), "{words}");
    // Outside of it, with nobody to reach, a server that is not there is nothing wrong.
    server.end();
    place.ask(&["prune"]);
    let (status, found, _) = place.ask(&["doctor"]);
    assert_eq!((status, &of(&found, "server")["ok"]), (0, &true.into()));
    assert!(of(&found, "server")["note"].as_str().unwrap().contains("no tmux server is running"));
    // One that was named is missed.
    assert_eq!(wrong(&place.ask(&["doctor", "-L", "none"]).1), ["server"]);
}

#[test]
fn without_tmux_it_is_wrong_unless_nobody_needs_it() {
    let place = Place::new();
    path_of(&place.path("empty"), &[]);
    let without = || {
        let mut call = place.agents(&["doctor"]);
        call.env("PATH", place.path("empty"));
        answers(call)
    };
    let (status, found, words) = without();
    assert_eq!((status, wrong(&found)), (1, vec!["tmux"]));
    assert!(words.contains("apt install tmux") && words.contains("swarm-tail --inbox"), "{words}");
    assert_eq!(place.ask(&["register", "ann", "--route", "inbox"]).0, 0);
    let (status, found, _) = without();
    assert_eq!((status, &of(&found, "tmux")["ok"], &of(&found, "ann")["reachable"]), (0, &true.into(), &true.into()), "{found:?}");
}

#[test]
fn an_old_tmux_is_told() {
    let place = Place::new();
    place.script("old/tmux", "#!/bin/sh\necho tmux 3.1c\n");
    let mut call = place.agents(&["doctor"]);
    call.env("PATH", format!("{}:{}", place.text("old"), std::env::var("PATH").unwrap()));
    let (status, found, words) = answers(call);
    assert_eq!((status, of(&found, "tmux")["version"].as_str()), (1, Some("3.1c")));
    assert!(words.contains("3.2 or newer"), "{words}");
}

#[test]
fn a_server_that_was_stopped_is_told_in_time() {
    let place = Place::new();
    let server = place.server("default");
    server.agent("claude");
    assert_eq!(place.ask(&["discover", "--register"]).0, 0);
    fs::write(place.path(".swarm/config.toml"), "[tmux]\ntimeout_ms = 200\n").unwrap();
    let stopped = server.stop();
    let (status, found, words) = place.ask(&["doctor"]);
    drop(stopped);
    assert_eq!((status, of(&found, "agent-0")["why"].as_str()), (1, Some("tmux does not answer")));
    assert!(words.contains("does not answer within 200 ms"), "{words}");
}

#[test]
fn a_store_that_cannot_be_used_is_told() {
    let place = Place::new();
    let path = place.path(".swarm");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let (status, found, words) = place.ask(&["doctor"]);
    assert_eq!((status, wrong(&found)), (1, vec!["store"]));
    assert!(words.contains("chmod 700"), "{words}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();

    fs::write(place.path(".swarm/config.toml"), "[agents]\nshell = 1\n").unwrap();
    let (status, found, words) = place.ask(&["doctor"]);
    assert_eq!((status, wrong(&found)), (1, vec!["config"]));
    assert!(words.contains("config.toml:2:"), "{words}");
    fs::remove_file(place.path(".swarm/config.toml")).unwrap();

    fs::create_dir(place.path(".swarm/agents")).unwrap();
    fs::write(place.path(".swarm/agents/bob.json"), "garbage\n").unwrap();
    let (status, found, words) = place.ask(&["doctor"]);
    assert_eq!((status, wrong(&found)), (1, vec!["registry"]));
    assert!(words.contains("swarm-agents unregister bob"), "{words}");

    fs::remove_dir_all(&path).unwrap();
    let (status, found, _) = place.ask(&["doctor"]);
    assert_eq!((status, wrong(&found)), (1, vec!["store"]), "no place is known");
    let (status, found, _) = place.ask(&["doctor", "--store", &place.text("new")]);
    assert_eq!((status, of(&found, "store")["by"].as_str()), (0, Some("option")));
    assert!(of(&found, "store")["note"].as_str().unwrap().contains("not there yet") && !place.path("new").exists());
}

#[test]
fn a_journal_that_is_damaged_or_ahead_of_the_clock_is_told() {
    let place = Place::new();
    let journal = place.path(".swarm/journal");
    fs::create_dir(&journal).unwrap();
    let segment = journal.join("00000000000000000001.ndjson");
    let record = |at: &str| {
        format!("{{\"seq\":1,\"msg_id\":\"a\",\"timestamp\":\"{at}\",\"msg_type\":\"INFO\",\"sender_id\":\"a\",\"content\":\"x\"}}\n")
    };
    fs::write(&segment, record("2026-01-01T00:00:00.000000Z")).unwrap();
    let (status, found, _) = place.ask(&["doctor"]);
    assert_eq!((status, &of(&found, "journal")["records"], &of(&found, "clock")["ok"]), (0, &1.into(), &true.into()), "{found:?}");
    fs::write(&segment, record("2999-01-01T00:00:00.000000Z")).unwrap();
    let (status, found, words) = place.ask(&["doctor"]);
    assert_eq!((status, wrong(&found)), (1, vec!["clock"]));
    assert!(words.contains("behind the last record"), "{words}");
    fs::write(&segment, "garbage\n").unwrap();
    assert_eq!(wrong(&place.ask(&["doctor"]).1), ["journal"]);
}

#[test]
fn on_a_terminal_it_is_a_page_of_words() {
    let place = Place::new();
    let server = place.server("default");
    let shell = server.run(&["sh", "-c", "echo ready; exec sh -i"]);
    let call = format!("env -u TMUX {} doctor; echo status $?", env!("CARGO_BIN_EXE_swarm-agents"));
    server.tmux(&["send-keys", "-t", &shell, &call, "Enter"]);
    server.wait_for(&shell, "status 0");
    let page = server.tmux(&["capture-pane", "-p", "-J", "-t", &shell]);
    assert!(
        page.contains("\nok    store       ") && page.contains("\nok    tmux        tmux 3") && page.contains("checks: all is well"),
        "{page}"
    );
    assert!(!page.contains("{\"check\""), "{page}");
}
