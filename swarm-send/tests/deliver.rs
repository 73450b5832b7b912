//! Delivery to panes of a real tmux, on a private socket.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Tmux, content, message, send, wait};
use swarm_common::cursor::Cursor;
use swarm_common::platform::Process;
use swarm_common::registry::Agent;
use swarm_send::deliver::{Block, Job, Outcome, Route, Word, deliver};

#[test]
fn a_message_is_typed_and_submitted_and_nothing_is_left_behind() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let text = message("Which schema?\nold or new");
    let outcome = send(&tmux.agent("a", &pane), &text, &tmux.quick());
    assert_eq!(outcome, Outcome::delivered("a"));
    wait("it is there", || content(&file) == format!("{}\n", text.text()));
    assert_eq!(tmux.leftovers(), (String::new(), 0));
    assert!(content(&file).lines().all(|line| line.starts_with("[swarm] from boss: INFO, seq 1.") || line.starts_with("| ")));
}

/// An outcome that says why.
fn said(outcome: &Outcome) -> (Word, &str) {
    (outcome.word, outcome.why.as_deref().unwrap_or(""))
}

#[test]
fn a_pane_that_cannot_take_it_gets_nothing_and_says_why() {
    let tmux = Tmux::new();
    let settings = tmux.quick();
    let text = message("hello");
    // Ids of two digits too.
    let _others = tmux.keepers(5);
    let check = |make: &dyn Fn(&str), word: Word, why: &str| {
        let (pane, file) = tmux.keeper();
        let agent = tmux.agent("a", &pane);
        make(&pane);
        assert_eq!(said(&send(&agent, &text, &settings)), (word, why));
        assert_eq!(content(&file), "", "{why}");
    };
    check(&|pane| drop(tmux.run(&["copy-mode", "-t", pane])), Word::Queued, "mode");
    check(&|pane| drop(tmux.run(&["select-pane", "-d", "-t", pane])), Word::Queued, "input off");
    check(&|pane| drop(tmux.run(&["set-option", "-p", "-t", pane, "synchronize-panes", "on"])), Word::Queued, "synchronized");
    check(&|pane| drop(tmux.run(&["kill-pane", "-t", pane])), Word::Refused, "no such pane");
    let respawn = |pane: &str| drop(tmux.run(&["respawn-pane", "-k", "-t", pane, "exec sleep 600"]));
    check(&respawn, Word::Refused, "another process in the pane");
    let die = |pane: &str| {
        tmux.run(&["set-option", "-p", "-t", pane, "remain-on-exit", "on"]);
        tmux.signal(tmux.shown(pane, "#{pane_pid}").parse().unwrap(), "-KILL");
        wait("it is dead", || tmux.shown(pane, "#{pane_dead}") == "1");
    };
    check(&die, Word::Refused, "dead pane");
    // And the server, which a paste into that pane would have ended, is there.
    let (pane, file) = tmux.keeper();
    assert_eq!(send(&tmux.agent("a", &pane), &text, &settings).word, Word::Delivered);
    wait("it is there", || content(&file).contains("hello"));
    assert_eq!(tmux.leftovers(), (String::new(), 0));
}

#[test]
fn nothing_is_typed_at_a_shell_unless_it_is_the_agent() {
    let tmux = Tmux::new();
    let pane = tmux.window("exec sh");
    wait("the shell", || tmux.shown(&pane, "#{pane_current_command}") == "sh");
    let mut agent = tmux.agent("a", &pane);
    let text = message("hello");
    assert_eq!(said(&send(&agent, &text, &tmux.quick())), (Word::Queued, "shell"));
    assert!(!tmux.screen(&pane).contains("swarm"));
    let config = "[agents]\nshells = [\"zsh\"]\n[delivery.default]\nenter_delay_ms = 0\n";
    assert_eq!(send(&agent, &text, &tmux.settings(config)).word, Word::Delivered, "no shell by config");
    agent.shell_ok = true;
    assert_eq!(send(&agent, &text, &tmux.quick()).word, Word::Delivered);
}

#[test]
fn an_agent_that_has_ended_gets_nothing() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let mut agent = tmux.agent("a", &pane);
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    agent.process = Process::of(child.id()).unwrap();
    assert_eq!(send(&agent, &message("one"), &tmux.quick()).word, Word::Delivered);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said(&send(&agent, &message("two"), &tmux.quick())), (Word::Refused, "gone"));
    tmux.run(&["copy-mode", "-t", &pane]);
    assert_eq!(said(&send(&agent, &message("two"), &tmux.quick())), (Word::Queued, "mode"), "what its pane says comes first");
    wait("the first is there", || content(&file).contains("| one"));
    assert!(!content(&file).contains("two"));
}

#[test]
fn another_server_on_the_socket_is_not_taken_for_the_one_that_was() {
    let tmux = Tmux::new();
    let (pane, _) = tmux.keeper();
    let agent = tmux.agent("a", &pane);
    let pid = tmux.server().pid;
    let is_gone = || Process::of(pid).unwrap().is_none();
    tmux.run(&["kill-server"]);
    wait("it ended", is_gone);
    assert_eq!(said(&send(&agent, &message("x"), &tmux.quick())), (Word::Refused, "gone"));
    tmux.run(&["new-session", "-d", "-s", "s", "exec sleep 600"]);
    let (again, file) = tmux.keeper();
    assert_eq!(again, pane, "its id is given again");
    assert_eq!(said(&send(&agent, &message("x"), &tmux.quick())), (Word::Refused, "another tmux server"));
    // Nor where its process cannot be looked at.
    let mut hidden = agent.clone();
    hidden.pane.as_mut().unwrap().server.space = Some("elsewhere".into());
    assert_eq!(said(&send(&hidden, &message("x"), &tmux.quick())), (Word::Refused, "another tmux server"));
    let mut rebooted = tmux.agent("a", &pane);
    rebooted.boot = "another".into();
    assert_eq!(said(&send(&rebooted, &message("x"), &tmux.quick())), (Word::Refused, "another tmux server"));
    assert_eq!(content(&file), "");
}

#[test]
fn without_tmux_or_its_socket_it_is_queued() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let mut agent = tmux.agent("a", &pane);
    let settings = tmux.settings("[tmux]\nprogram = \"no-such-tmux\"\n");
    assert_eq!(said(&send(&agent, &message("x"), &settings)), (Word::Queued, "tmux is not installed"));
    let socket = &mut agent.pane.as_mut().unwrap().server.socket;
    *socket = tmux.dir.path().join("gone");
    assert_eq!(said(&send(&agent, &message("x"), &tmux.quick())), (Word::Queued, "tmux cannot be reached"));
    assert_eq!(content(&file), "");
    agent.route = Route::Inbox;
    assert_eq!(said(&send(&agent, &message("x"), &settings)), (Word::Queued, "inbox"));
}

#[test]
fn a_store_that_cannot_be_used_types_nothing() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let settings = tmux.quick();
    std::fs::write(&settings.dir, "").unwrap();
    assert_eq!(said(&send(&tmux.agent("a", &pane), &message("x"), &settings)), (Word::Queued, "the store cannot be used"));
    assert_eq!(content(&file), "");
}

#[test]
fn a_server_that_stands_still_is_told_within_the_time_limit_and_types_nothing_later() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let agent = tmux.agent("a", &pane);
    let settings = tmux.settings("[tmux]\ntimeout_ms = 300\n");
    let pid = tmux.server().pid;
    tmux.signal(pid, "-STOP");
    let since = Instant::now();
    let outcome = send(&agent, &message("x"), &settings);
    let took = since.elapsed();
    tmux.signal(pid, "-CONT");
    assert_eq!(said(&outcome), (Word::Queued, "tmux does not answer"));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(send(&agent, &message("later"), &tmux.quick()).word, Word::Delivered);
    wait("the later one is there", || content(&file).contains("later"));
    assert!(!content(&file).contains("| x"));
}

/// A hook stops the server at the first paste of a broadcast; then `after`, and each keeper's file has to agree with its outcome.
fn in_the_middle(hook: impl Fn(&Tmux, u32) -> String, why: &str, after: impl Fn(&Tmux)) -> Vec<Outcome> {
    let tmux = Tmux::new();
    let keepers = tmux.keepers(60);
    let server = tmux.server();
    let agents: Vec<_> = keepers.iter().map(|(pane, _)| tmux.agent_of(pane, &server)).collect();
    tmux.run(&["set-hook", "-g", "after-paste-buffer", &hook(&tmux, server.pid)]);
    let settings = tmux.settings("[tmux]\ntimeout_ms = 500\n[delivery.default]\nenter_delay_ms = 0\nenter_delay_ms_per_kib = 0\n");
    let text = message("hello");
    let jobs: Vec<Job> = agents.iter().map(|agent| Job { agent, route: agent.route, text: &text }).collect();
    let outcomes = deliver(&jobs, &settings);
    after(&tmux);
    assert!(outcomes.iter().any(|outcome| outcome.word == Word::Unconfirmed), "it happened in the middle: {outcomes:?}");
    for (outcome, (_, file)) in outcomes.iter().zip(&keepers) {
        match outcome.word {
            Word::Delivered => wait("delivered is there", || content(file).contains("| hello")),
            Word::Unconfirmed => assert_eq!(outcome.why.as_deref(), Some("tmux did not answer")),
            Word::Queued => assert_eq!((outcome.why.as_deref(), content(file).as_str()), (Some(why), "")),
            Word::Refused => panic!("{outcome:?}"),
        }
    }
    outcomes
}

#[test]
fn when_the_server_stands_still_in_the_middle_what_it_has_not_taken_is_taken_back() {
    // A server that opens a pipe waits for its writer.
    let pipe = |tmux: &Tmux| tmux.dir.path().join("pipe");
    let hook = |tmux: &Tmux, _| {
        nix::unistd::mkfifo(&pipe(tmux), nix::sys::stat::Mode::S_IRWXU).unwrap();
        format!("load-buffer -b held '{}'", pipe(tmux).display())
    };
    let after = |tmux: &Tmux| {
        drop(std::fs::write(pipe(tmux), "x"));
        std::fs::remove_file(pipe(tmux)).unwrap();
        tmux.run(&["set-hook", "-gu", "after-paste-buffer"]);
        // What it had taken is done by the time another is.
        let (pane, file) = tmux.keeper();
        assert_eq!(send(&tmux.agent("z", &pane), &message("last"), &tmux.quick()).word, Word::Delivered);
        wait("the last is there", || content(&file).contains("last"));
    };
    let outcomes = in_the_middle(hook, "tmux does not answer", after);
    assert!(outcomes.iter().any(|outcome| outcome.word == Word::Queued), "{outcomes:?}");
}

#[test]
fn when_the_server_is_killed_in_the_middle_nobody_is_told_delivered_who_was_not() {
    in_the_middle(|_, pid| format!("run-shell 'kill -KILL {pid}'"), "tmux cannot be reached", |_| {});
}

#[test]
fn many_senders_at_one_pane_do_not_mix() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let agent = tmux.agent("a", &pane);
    let settings = tmux.settings("[delivery.default]\nenter_delay_ms = 5\n");
    std::thread::scope(|scope| {
        for sender in 0..10 {
            let (agent, settings) = (&agent, &settings);
            scope.spawn(move || {
                let outcome = send(agent, &message(&format!("{sender} one\n{sender} two\n{sender} three")), settings);
                assert_eq!(outcome.word, Word::Delivered, "{outcome:?}");
            });
        }
    });
    wait("all are there", || content(&file).lines().count() == 40);
    let text = content(&file);
    let lines: Vec<&str> = text.lines().collect();
    for block in lines.chunks(4) {
        let sender = &block[1][2..3];
        assert!(block[0].starts_with("[swarm] from"), "{block:?}");
        assert_eq!(block[1..], ["one", "two", "three"].map(|word| format!("| {sender} {word}")), "{block:?}");
    }
}

#[test]
fn a_pane_that_another_sender_holds_for_too_long_is_busy() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let mut settings = tmux.quick();
    settings.patience = Duration::from_millis(50);
    let lock = settings.dir.join("panes").join(&pane[1..]);
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = swarm_common::files::lock(&lock, true).unwrap();
    let agent = tmux.agent("a", &pane);
    assert_eq!(said(&send(&agent, &message("x"), &settings)), (Word::Queued, "busy"));
    assert_eq!(content(&file), "");
    drop(held);
    assert_eq!(send(&agent, &message("x"), &settings).word, Word::Delivered);
}

#[test]
fn each_of_many_recipients_is_answered_by_itself_and_their_delays_run_side_by_side() {
    let tmux = Tmux::new();
    let keepers = tmux.keepers(20);
    let server = tmux.server();
    tmux.run(&["copy-mode", "-t", &keepers[7].0]);
    let agents: Vec<_> = keepers.iter().map(|(pane, _)| tmux.agent_of(pane, &server)).collect();
    let text = message("all");
    let jobs: Vec<Job> = agents.iter().map(|agent| Job { agent, route: agent.route, text: &text }).collect();
    let since = Instant::now();
    let outcomes = deliver(&jobs, &tmux.settings("[delivery.default]\nenter_delay_ms = 500\n"));
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(2500), "{took:?}");
    for (at, (outcome, (_, file))) in outcomes.iter().zip(&keepers).enumerate() {
        assert_eq!(said(outcome), if at == 7 { (Word::Queued, "mode") } else { (Word::Delivered, "") });
        if at != 7 {
            wait("it is there", || content(file) == format!("{}\n", text.text()));
        }
    }
    assert_eq!(content(&keepers[7].1), "");
}

#[test]
fn messages_for_one_pane_come_in_their_order() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let agent = tmux.agent("a", &pane);
    let texts: Vec<_> = (0..20).map(|number| message(&format!("number {number}"))).collect();
    let jobs: Vec<Job> = texts.iter().map(|text| Job { agent: &agent, route: Route::Pane, text }).collect();
    let outcomes = deliver(&jobs, &tmux.settings("[delivery.default]\nenter_delay_ms = 2\n"));
    assert!(outcomes.iter().all(|outcome| outcome.word == Word::Delivered), "{outcomes:?}");
    let expected: String = texts.iter().map(|text| format!("{}\n", text.text())).collect();
    wait("all are there", || content(&file) == expected);
    assert_eq!(tmux.leftovers(), (String::new(), 0));
}

#[test]
fn what_happens_between_text_and_enter_is_told() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    tmux.run(&["set-hook", "-g", "after-paste-buffer", &format!("copy-mode -t {pane}")]);
    let outcome = send(&tmux.agent("a", &pane), &message("x"), &tmux.settings(""));
    assert_eq!(said(&outcome), (Word::Unconfirmed, "typed without Enter: mode"));
    // The line that the key would have ended is not handed over.
    assert!(!content(&file).contains("| x"));
}

#[test]
fn a_draft_is_left_alone_and_an_empty_composer_is_not() {
    let tmux = Tmux::new();
    let config = "[delivery.stub]\nenter_delay_ms = 0\ndraft = '^> .*\\S'\n";
    let composer = |line: &str| {
        let file = tmux.dir.path().join(format!("composer-{}", line.len()));
        let pane = tmux.window(&format!("stty -echo; printf 'working\\n%s' '{line}'; exec cat >'{}'", file.display()));
        wait("the composer", || tmux.screen(&pane).contains('>') && tmux.shown(&pane, "#{pane_current_command}") == "cat");
        let mut agent = tmux.agent("a", &pane);
        agent.kind = Some("stub".into());
        (agent, file)
    };
    let (agent, file) = composer("> fix the");
    assert_eq!(said(&send(&agent, &message("x"), &tmux.settings(config))), (Word::Queued, "draft"));
    assert_eq!(content(&file), "");
    let (agent, file) = composer("> ");
    assert_eq!(send(&agent, &message("x"), &tmux.settings(config)), Outcome::delivered("a"));
    wait("it is there", || content(&file).contains("| x"));
    tmux.run(&["kill-pane", "-t", &agent.pane.as_ref().unwrap().id]);
    assert_eq!(said(&send(&agent, &message("x"), &tmux.settings(config))), (Word::Refused, "no such pane"));
}

#[test]
fn a_sign_that_it_was_taken_is_waited_for() {
    let tmux = Tmux::new();
    let agent_of = |program: &str| {
        let pane = tmux.window(program);
        wait("the program", || tmux.shown(&pane, "#{pane_current_command}") == "sh");
        let mut agent = tmux.agent("a", &pane);
        agent.shell_ok = true;
        agent
    };
    let slow = agent_of("exec sh -c 'stty -echo; read a; read b; sleep 0.2; echo thinking; sleep 600; :'");
    let deaf = agent_of("exec sh -c 'stty -echo; sleep 600; :'");
    let config = "[delivery.default]\nenter_delay_ms = 0\ntaken = 'thinking'\nconfirm_ms = ";
    assert_eq!(send(&slow, &message("x"), &tmux.settings(&format!("{config}20000\n"))), Outcome::delivered("a"));
    assert!(tmux.screen(&slow.pane.as_ref().unwrap().id).contains("thinking"));
    let outcome = send(&deaf, &message("x"), &tmux.settings(&format!("{config}100\n")));
    assert_eq!(said(&outcome), (Word::Unconfirmed, "no sign that it was taken"));
}

#[test]
fn an_agent_is_woken_once_until_it_looks() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let mut agent = tmux.agent("Agent-1", &pane);
    agent.route = Route::Wake;
    let settings = tmux.quick();
    let wake = Block::wake();
    let send = |agent: &Agent| send(agent, &wake, &settings);
    assert_eq!(send(&agent), Outcome::delivered("Agent-1"));
    assert_eq!(said(&send(&agent)), (Word::Queued, "unread"));
    std::fs::create_dir_all(&settings.cursors).unwrap();
    Cursor::open(&settings.cursors, "inbox-agent-1", false).unwrap().commit(7).unwrap();
    assert_eq!(send(&agent), Outcome::delivered("Agent-1"), "it has looked");
    assert_eq!(said(&send(&agent)), (Word::Queued, "unread"));
    wait("both are there", || content(&file).lines().count() == 2);
    tmux.run(&["respawn-pane", "-k", "-t", &pane, &format!("stty -echo; exec cat >>'{}'", file.display())]);
    wait("the keeper is there", || tmux.shown(&pane, "#{pane_current_command}") == "cat");
    let mut anew = tmux.agent("Agent-1", &pane);
    anew.route = Route::Wake;
    assert_eq!(send(&anew), Outcome::delivered("Agent-1"), "it was started anew");
    wait("three are there", || content(&file) == "[swarm] unread messages: swarm-tail --inbox\n".repeat(3));
    // One that could not be typed was none.
    let (pane, _) = tmux.keeper();
    let mut other = tmux.agent("b", &pane);
    other.route = Route::Wake;
    tmux.run(&["copy-mode", "-t", &pane]);
    assert_eq!(said(&send(&other)), (Word::Queued, "mode"));
    tmux.run(&["send-keys", "-t", &pane, "-X", "cancel"]);
    assert_eq!(send(&other), Outcome::delivered("b"));
}

#[test]
fn no_text_is_a_key_a_command_or_a_format() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let agent = tmux.agent("a", &pane);
    let settings = tmux.quick();
    let touched = tmux.dir.path().join("touched");
    let touch = touched.display();
    let texts = [
        "hello;".to_string(),
        "Enter".into(),
        "C-c".into(),
        "#{pane_id} #S %H".into(),
        format!("#(touch {touch}) $(touch {touch}) `touch {touch}`"),
        "'; kill-server ; \"".into(),
        "%end 1 1 1\n%exit\n%error 1 1 1".into(),
        "a\u{1b}[31mb\u{1b}[201~c\u{3}d\u{4}e\u{1a}f\0g\rh".into(),
        "\u{202e}\u{200b}bidi".into(),
        "\u{6f22}\u{5b57}\u{1f980}".repeat(1000),
        "x".repeat(9000),
    ];
    for text in &texts {
        let _ = std::fs::remove_file(&file);
        tmux.run(&["respawn-pane", "-k", "-t", &pane, &format!("stty -echo; exec cat >>'{}'", file.display())]);
        wait("the keeper is there", || tmux.shown(&pane, "#{pane_current_command}") == "cat");
        let agent = Agent { pane: tmux.agent("a", &pane).pane, ..agent.clone() };
        let block = message(text);
        assert_eq!(send(&agent, &block, &settings), Outcome::delivered("a"), "{text:?}");
        // A terminal that hands over lines holds 4,095 bytes of them, and cat may be slow: what is there is what was typed.
        wait("it is there", || content(&file).lines().count() == block.text().lines().count());
        assert_eq!(content(&file), format!("{}\n", block.text()));
    }
    assert!(!touched.exists());
}

#[test]
fn a_program_that_knows_of_pastes_gets_one() {
    let tmux = Tmux::new();
    let file = tmux.dir.path().join("raw");
    let pane = tmux.window(&format!("stty raw -echo; printf '\\033[?2004h'; exec cat >'{}'", file.display()));
    wait("the program", || tmux.shown(&pane, "#{pane_current_command}") == "cat");
    let text = message("one\u{1b}[201~\ntwo");
    // Its mode is set when tmux has read it.
    tmux.run(&["send-keys", "-t", &pane, "-l", "!"]);
    wait("the key", || content(&file).contains('!'));
    assert_eq!(send(&tmux.agent("a", &pane), &text, &tmux.quick()), Outcome::delivered("a"));
    let expected = format!("!\u{1b}[200~{}\u{1b}[201~\r", text.text());
    wait("it is there", || content(&file) == expected);
}

#[test]
fn who_looks_at_tmux_meanwhile_sees_nothing_change() {
    let tmux = Tmux::new();
    let (pane, _) = tmux.keeper();
    tmux.run(&["split-window", "-d", "-t", &pane, "exec sleep 600"]);
    tmux.run(&["new-session", "-d", "-s", "other", "-x", "100", "-y", "30", "exec sleep 600"]);
    let all = || {
        let panes = "#{session_name} #{window_index} #{window_active} #{window_width}x#{window_height} #{pane_id} #{pane_active} #{pane_width} \
            #{window_zoomed_flag} #{session_attached}";
        (tmux.run(&["list-panes", "-a", "-F", panes]), tmux.run(&["show-environment", "-t", "s"]), tmux.run(&["list-sessions", "-F", "#S"]))
    };
    let before = all();
    assert_eq!(send(&tmux.agent("a", &pane), &message("x"), &tmux.quick()), Outcome::delivered("a"));
    let clients = || tmux.run(&["list-clients"]);
    wait("the client is gone", || clients().is_empty());
    assert_eq!(all(), before);
}

/// As a sender that was killed leaves it, or one that is alive.
fn client_of(tmux: &Tmux, sender: &Process) -> Child {
    let name = format!("swarm:{}:{}:{}", sender.pid, sender.start, sender.space.as_deref().unwrap_or_default());
    let mut command = tmux.command(&["-C", "attach-session", "-f", "no-output,ignore-size"]);
    let child = command.env("TERM", &name).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("it is attached", || tmux.run(&["list-clients", "-F", "#{client_pid}"]).lines().any(|pid| pid == child.id().to_string()));
    child
}

#[test]
fn what_a_killed_sender_left_in_tmux_is_removed_by_the_next_one_and_nothing_else() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let own = Process::own().unwrap();
    let mut alive = client_of(&tmux, &own);
    let gone = Process { start: "1".into(), ..own.clone() };
    let mut orphan = client_of(&tmux, &gone);
    let buffer = |sender: &Process| format!("swarm:{}:{}:{}-1x0", sender.pid, sender.start, sender.space.as_deref().unwrap_or_default());
    for name in [&buffer(&own), &buffer(&gone), "swarm-notes"] {
        tmux.run(&["set-buffer", "-b", name, "text"]);
    }
    assert_eq!(send(&tmux.agent("a", &pane), &message("x"), &tmux.quick()), Outcome::delivered("a"));
    assert!(orphan.try_wait().unwrap().is_some(), "it is gone");
    let mut buffers: Vec<String> = tmux.run(&["list-buffers", "-F", "#{buffer_name}"]).lines().map(String::from).collect();
    buffers.sort();
    assert_eq!(buffers, ["swarm-notes".to_string(), buffer(&own)]);
    assert!(alive.try_wait().unwrap().is_none());
    alive.kill().unwrap();
    alive.wait().unwrap();
    wait("it is there", || content(&file).contains("| x"));
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn measure() {
    let ticks = |pid: u32| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
    };
    for count in [1, 100, 1000] {
        let tmux = Tmux::new();
        let settings = tmux.quick();
        let ids: Vec<String> = (0..count).map(|_| tmux.window("exec cat")).collect();
        let last = ids.last().unwrap();
        wait("cat", || tmux.shown(last, "#{pane_current_command}") == "cat");
        let server = tmux.server();
        let agents: Vec<_> = ids.iter().map(|id| tmux.agent_of(id, &server)).collect();
        for round in 0..7 {
            let text = message(&format!("round {round}"));
            let jobs: Vec<Job> = agents.iter().map(|agent| Job { agent, route: agent.route, text: &text }).collect();
            let (since, own, of_server) = (Instant::now(), ticks(std::process::id()), ticks(server.pid));
            let outcomes = deliver(&jobs, &settings);
            let took = since.elapsed();
            assert!(outcomes.iter().all(|outcome| outcome.word == Word::Delivered), "{outcomes:?}");
            let (own, of_server) = (ticks(std::process::id()) - own, ticks(server.pid) - of_server);
            wait("shown", || tmux.screen(last).contains(&format!("round {round}")));
            eprintln!("{count} panes: {took:?}, shown after {:?}; CPU ms: own {own}, tmux {of_server}", since.elapsed());
        }
    }
}
