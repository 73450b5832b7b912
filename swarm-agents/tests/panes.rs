//! The query against real servers: what it reads out of tmux, and how it fails.

#![allow(clippy::unwrap_used, clippy::panic)]

mod tmux;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use swarm_agents::tmux::call::Trouble;
use swarm_agents::tmux::query;
use swarm_common::config::Tmux;
use swarm_common::platform::{Life, Process};
use tmux::Place;

/// A tmux that is waited for so long.
fn waited_for(timeout: Duration) -> Tmux {
    Tmux { timeout, ..Tmux::default() }
}

/// All that a loaded machine may need.
fn long() -> Tmux {
    waited_for(Duration::from_secs(20))
}

#[test]
fn every_pane_of_every_session_is_told_once_with_its_state() {
    let place = Place::new();
    let server = place.server("one");
    let plain = server.agent("claude");
    server.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    let dead = server.run(&["sh", "-c", "printf 'ready '; read -r line"]);
    server.tmux(&["send-keys", "-t", &dead, "Enter"]);
    server.wait_for_end(&dead);
    let mode = server.agent("codex");
    server.tmux(&["copy-mode", "-t", &mode]);
    let off = server.agent("gemini");
    server.tmux(&["select-pane", "-d", "-t", &off]);
    // A second session on the same windows: they are the same panes.
    server.tmux(&["new-session", "-d", "-t", "0"]);

    let panes = query::panes(&long(), &server.socket()).unwrap();
    assert_eq!(panes.iter().map(|pane| pane.id.clone()).collect::<Vec<_>>(), [plain.clone(), dead, mode, off]);
    let states: Vec<_> = panes.iter().map(|pane| (pane.is_dead, pane.is_in_mode, pane.is_input_off)).collect();
    assert_eq!(states, [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]);
    let first = &panes[0];
    assert_eq!((first.pid.to_string(), &first.tty), (server.of(&plain, "pane_pid"), &server.of(&plain, "pane_tty")));
    assert_eq!((first.server_pid, &first.socket), (server.pid() as u32, &server.socket()));
    assert_eq!((first.session.as_str(), first.session_id.as_str(), first.window_id.as_str()), ("0", "$0", "@0"));
    let pane = first.pane().unwrap().unwrap();
    assert_eq!((pane.id, pane.server.process().life()), (plain.clone(), Life::Alive));
    assert_eq!(query::pane(&long(), &server.socket(), &plain).unwrap().as_ref(), Some(first));
    for other in ["%99", "", "0", "%0;", "one"] {
        assert_eq!(query::pane(&long(), &server.socket(), other).unwrap(), None, "{other}");
    }
}

#[test]
fn names_that_look_like_formats_lines_or_fields_are_only_names() {
    let place = Place::new();
    let server = place.server("hostile");
    let touched = place.text("touched");
    let window = format!("#(touch {touched})#{{pane_id}}\t%7 1 1;'\"\\");
    // What a program calls itself is not cleaned by tmux, unlike names.
    place
        .script("bin/hostile", "#!/bin/sh\nexec -a \"$(printf 'x\\ny\\t%%9 #(touch touched)')\" sh -c 'printf \"ready \"; read -r line'\n");
    let script = fs::read_to_string(place.path("bin/hostile")).unwrap().replace("/bin/sh", "/bin/bash");
    place.script("bin/hostile", &script);
    let pane = server.agent("hostile");
    // Who names them has to double what begins a format; a program does not, which names its window by an escape sequence.
    let name = |text: &str| text.replace('#', "##");
    server.tmux(&["rename-window", "-t", &pane, &name(&window)]);
    server.tmux(&["rename-session", "-t", "0", &name("größe 日本 #{session_id}#(touch nothing)")]);
    server.tmux(&["select-pane", "-t", &pane, "-T", &name("title\t#(touch touched)")]);
    let other = server.agent("claude");

    let panes = query::panes(&long(), &server.socket()).unwrap();
    assert_eq!(panes.iter().map(|pane| pane.id.as_str()).collect::<Vec<_>>(), [&pane, &other]);
    // tmux shows what is no character of a name by an escape.
    assert!(panes[0].window.contains("#{pane_id}") && panes[0].window.contains("%7 1 1;'\""), "{}", panes[0].window);
    assert!(panes[0].session.starts_with("größe 日本 #{session_id}#("), "{}", panes[0].session);
    assert!(panes[0].command.contains('x') && panes[1].command != panes[0].command, "{:?}", panes[0].command);
    assert!(!place.path("touched").exists() && !place.path("nothing").exists(), "tmux ran a command out of a name");
}

#[test]
fn why_a_server_does_not_answer_is_told() {
    let place = Place::new();
    let server = place.server("gone");
    assert_eq!(query::panes(&long(), &server.socket()), Err(Trouble::NoServer(false)));
    server.agent("claude");
    server.end();
    // It removes its socket, unless it is killed.
    assert!(matches!(query::panes(&long(), &server.socket()), Err(Trouble::NoServer(_))));
    fs::write(place.path("file"), "").unwrap();
    assert_eq!(
        query::panes(&long(), &place.path("file")).map_err(|trouble| matches!(trouble, Trouble::NoServer(true) | Trouble::Failed(_))),
        Err(true)
    );
    // Killed, it leaves its socket.
    let killed = place.server("killed");
    killed.agent("claude");
    let pid = nix::unistd::Pid::from_raw(killed.pid());
    let process = Process::of(pid.as_raw() as u32).unwrap().unwrap();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    tmux::until("it is dead", || process.life() == Life::Gone);
    assert_eq!(query::panes(&long(), &killed.socket()), Err(Trouble::NoServer(true)));
}

#[test]
fn a_socket_that_may_not_be_used_is_denied() {
    if nix::unistd::geteuid().is_root() {
        // Root may use any.
        return;
    }
    let place = Place::new();
    let server = place.server("denied");
    server.agent("claude");
    let dir = server.socket().parent().unwrap().to_path_buf();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o000)).unwrap();
    let answer = query::panes(&long(), &server.socket());
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(answer, Err(Trouble::Denied));
}

#[test]
fn a_server_that_was_stopped_is_waited_for_no_longer_than_was_said() {
    let place = Place::new();
    let server = place.server("stopped");
    server.agent("claude");
    let limit = Duration::from_millis(300);
    let stopped = server.stop();
    let since = Instant::now();
    let answer = query::panes(&waited_for(limit), &server.socket());
    let took = since.elapsed();
    drop(stopped);
    assert_eq!(answer, Err(Trouble::Silent(limit)));
    assert!(took >= limit && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(query::panes(&long(), &server.socket()).map(|panes| panes.len()), Ok(1), "and answers again");
}
