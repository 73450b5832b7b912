use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::platform::Process;

const LONG: Duration = Duration::from_secs(600);

fn registry() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().expect("a directory");
    let registry = Registry { dir: dir.path().join("agents") };
    (dir, registry)
}

/// A pane of a server that is this very process, so that it lives.
fn pane(number: u32) -> Pane {
    let server = Server::of(Path::new("/tmp/s"), std::process::id()).expect("told").expect("alive");
    Pane { id: format!("%{number}"), server, pid: std::process::id() }
}

fn ended() -> Process {
    let mut child = Command::new("true").spawn().expect("a process");
    let process = Process { pid: child.id(), start: "1".into(), space: Process::own().expect("told").space };
    child.wait().expect("ended");
    process
}

fn inbox(id: &str) -> Agent {
    Agent::new(id, crate::time::now())
}

fn paned(id: &str, number: u32) -> Agent {
    let process = Process::of(std::process::id()).expect("told");
    Agent { route: Route::Pane, pane: Some(pane(number)), process, ..inbox(id) }
}

fn ids(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.agent_id.as_str()).collect()
}

fn here(registry: &Registry, number: u32) -> Option<String> {
    let found = registry.in_pane(std::process::id(), &format!("%{number}"));
    found.expect("looked").map(|agent| agent.agent_id)
}

fn all(registry: &Registry) -> Vec<Agent> {
    registry.all(&mut |note| panic!("{note}")).expect("read")
}

#[test]
fn without_a_directory_nobody_is_registered_and_none_is_made() {
    let (dir, registry) = registry();
    assert_eq!(registry.exists(), Ok(false));
    assert_eq!(registry.get("a"), Ok(None));
    assert_eq!(all(&registry), []);
    assert_eq!(here(&registry, 1), None);
    assert_eq!((registry.beat("a"), registry.remove("a")), (Ok(false), Ok(false)));
    assert_eq!(registry.sweep(&|_| true, &mut |_| {}), Ok(vec![]));
    assert!(!dir.path().join("agents").exists());
}

#[test]
fn an_agent_is_found_by_its_id_in_any_case_by_its_pane_and_in_the_list_until_it_is_removed() {
    let (_dir, registry) = registry();
    registry.put(&inbox("b"), false).expect("put");
    registry.put(&paned("Agent-1", 3), false).expect("put");
    let found = registry.get("aGENT-1").expect("read").expect("there");
    assert_eq!((found.agent_id.as_str(), found.route, found.status(found.seen_at, LONG)), ("Agent-1", Route::Pane, Status::Active));
    assert_eq!(ids(&all(&registry)), ["Agent-1", "b"]);
    assert_eq!(here(&registry, 3), Some("Agent-1".into()));
    assert_eq!(here(&registry, 4), None);
    assert_eq!(registry.in_pane(1, "%3"), Ok(None));
    assert_eq!(registry.exists(), Ok(true));
    assert_eq!(registry.remove("AGENT-1"), Ok(true));
    assert_eq!((registry.remove("agent-1"), here(&registry, 3)), (Ok(false), None));
    assert_eq!(fs::read_dir(registry.dir.join(PANES)).expect("there").count(), 0, "no entry stays");
    for id in ["../b", "", "a/b", ".lock", "b.json/"] {
        assert_eq!((registry.get(id), registry.remove(id), registry.beat(id)), (Ok(None), Ok(false), Ok(false)), "{id}");
    }
}

#[test]
fn the_record_is_one_line_of_json_with_what_applies() {
    let (_dir, registry) = registry();
    let mut agent = paned("agent-1", 3);
    agent.kind = Some("claude".into());
    agent.shell_ok = true;
    agent.groups = vec!["backend".into(), "all-night".into()];
    agent.description = Some("does \"things\"".into());
    registry.put(&agent, false).expect("put");
    let text = fs::read_to_string(registry.dir.join("agent-1.json")).expect("read");
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    let want = "agent_id route pane server pane_pid process boot kind shell_ok groups description registered_at";
    assert_eq!(keys.join(" "), want);
    assert_eq!((&value["pane"], &value["server"]["socket"]), (&"%3".into(), &"/tmp/s".into()));
    registry.put(&inbox("a"), false).expect("put");
    let plain = fs::read_to_string(registry.dir.join("a.json")).expect("read");
    assert!(plain.starts_with("{\"agent_id\":\"a\",\"route\":\"inbox\",\"boot\":\""), "{plain}");
    let meta = fs::metadata(registry.dir.join("a.json")).expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777, 0o600);
}

#[test]
fn a_pane_has_one_living_agent_and_force_unregisters_it() {
    let (_dir, registry) = registry();
    registry.put(&paned("a", 3), false).expect("put");
    let refused = registry.put(&paned("b", 3), false).expect_err("occupied");
    assert!(refused.exit.status() == 1 && refused.what.contains("a's") && refused.hint.contains("unregister a"), "{refused:?}");
    assert_eq!(registry.get("b"), Ok(None));
    registry.put(&paned("b", 3), true).expect("forced");
    assert_eq!((ids(&all(&registry)), here(&registry, 3)), (vec!["b"], Some("b".into())));
    let over = Agent { process: Some(ended()), ..paned("c", 4) };
    registry.put(&over, false).expect("put");
    registry.put(&paned("d", 4), false).expect("the one before is gone");
    assert_eq!((ids(&all(&registry)), here(&registry, 4)), (vec!["b", "c", "d"], Some("d".into())));
}

#[test]
fn an_id_stays_where_it_is_unless_it_is_gone_or_forced() {
    let (_dir, registry) = registry();
    registry.put(&paned("a", 3), false).expect("put");
    let elsewhere = Agent { process: None, ..paned("A", 4) };
    let refused = registry.put(&elsewhere, false).expect_err("elsewhere");
    assert!(refused.exit.status() == 1 && refused.what.contains("pane %3") && refused.hint.contains("--force"), "{refused:?}");
    registry.put(&paned("a", 4), false).expect("the same process, in another pane");
    assert_eq!((here(&registry, 3), here(&registry, 4)), (None, Some("a".into())));
    registry.put(&Agent { pane: Some(pane(5)), ..elsewhere }, true).expect("forced");
    assert_eq!((here(&registry, 4), here(&registry, 5)), (None, Some("A".into())));
    registry.put(&Agent { process: Some(ended()), ..inbox("b") }, false).expect("put");
    registry.put(&paned("b", 6), false).expect("it was gone");
    registry.put(&inbox("c"), false).expect("put");
    registry.put(&paned("c", 7), false).expect("it was nowhere");
}

#[test]
fn panes_of_servers_that_had_the_same_pid_are_told_apart() {
    let (_dir, registry) = registry();
    let mut earlier = paned("a", 3);
    earlier.process = None;
    if let Some(pane) = &mut earlier.pane {
        pane.server.start = "1".into();
    }
    registry.put(&earlier, false).expect("put");
    assert_eq!(here(&registry, 3), None, "that server is gone");
    assert_eq!(registry.get("a").expect("read").expect("there").status(earlier.seen_at, LONG), Status::Gone);
    registry.put(&paned("b", 3), false).expect("put");
    let mut elsewhere = paned("c", 3);
    elsewhere.process = None;
    if let Some(pane) = &mut elsewhere.pane {
        pane.server.space = Some("1".into());
    }
    registry.put(&elsewhere, false).expect("put");
    assert_eq!(here(&registry, 3), Some("b".into()), "another pid namespace is another place");
    registry.remove("b").expect("removed");
    assert_eq!(here(&registry, 3), None);
    assert_eq!(registry.listed(std::process::id(), "%3"), Ok(vec!["a".into(), "c".into()]), "both stay listed");
}

#[test]
fn who_is_alive_is_told_by_the_process_then_by_when_it_was_heard_of() {
    let now = crate::time::now();
    let late = now + jiff::SignedDuration::from_mins(10);
    let status = |agent: &Agent, now| agent.status(now, LONG);
    let agent = Agent { seen_at: now, ..inbox("a") };
    assert_eq!((status(&agent, now), status(&agent, late)), (Status::Active, Status::Stale));
    assert_eq!(status(&Agent { seen_at: late, ..agent.clone() }, now), Status::Active, "the clock was set back");
    let living = Agent { process: Process::own().ok(), ..agent.clone() };
    assert_eq!(status(&living, late), Status::Active);
    assert_eq!(status(&Agent { boot: "another".into(), ..living.clone() }, now), Status::Gone);
    let over = Agent { process: Some(ended()), ..agent.clone() };
    assert_eq!(status(&over, now), Status::Gone);
    let hidden = Process { space: Some("1".into()), ..Process::own().expect("told") };
    let unknown = Agent { process: Some(hidden), ..agent.clone() };
    assert_eq!((status(&unknown, now), status(&unknown, late)), (Status::Active, Status::Stale));
    let in_pane = Agent { pane: Some(pane(1)), ..agent.clone() };
    assert_eq!(status(&in_pane, late), Status::Active, "the pane's process");
    let closed = Agent { pane: Some(Pane { pid: ended().pid, ..pane(1) }), ..agent };
    assert_eq!(status(&closed, now), Status::Gone);
}

#[test]
fn a_beat_moves_the_time_and_nothing_else() {
    let (_dir, registry) = registry();
    registry.put(&inbox("a"), false).expect("put");
    let path = registry.dir.join("a.json");
    let before = fs::read(&path).expect("read");
    File::open(&path).expect("opened").set_modified(std::time::UNIX_EPOCH).expect("set");
    assert_eq!(registry.get("a").expect("read").expect("there").seen_at, Timestamp::UNIX_EPOCH);
    assert_eq!(registry.beat("A"), Ok(true));
    let seen_at = registry.get("a").expect("read").expect("there").seen_at;
    assert!(crate::time::now().duration_since(seen_at).as_secs() < 600, "{seen_at}");
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[test]
fn garbage_is_named_with_the_way_out_and_hides_nobody_else() {
    let (_dir, registry) = registry();
    for id in ["a", "b", "c"] {
        registry.put(&paned(id, 1), true).expect("put");
        registry.remove(id).expect("removed");
        registry.put(&inbox(id), false).expect("put");
    }
    let good = fs::read(registry.dir.join("a.json")).expect("read");
    let good = String::from_utf8(good).expect("text");
    for garbage in [
        "",
        "\0\0\0",
        "garbage",
        "{}",
        "[]",
        "{\"agent_id\":\"a\"",
        &good.replace("inbox", "pigeon"),
        &good.replace("inbox", "pane"),
        &good.replace("\"a\"", "\"z\""),
        &good.replace("\"inbox\"", "1"),
        &good.replace("{", "{\"pane\":\"%1;\",\"pane_pid\":1,\"server\":{\"socket\":\"/s\",\"pid\":1,\"start\":\"1\"},"),
        &good.replace("{", "{\"pane\":\"%1\","),
        &good.replace("{", "{\"process\":{\"pid\":-1,\"start\":\"1\"},"),
        &good.replace("{", "{\"groups\":[\"all\"],"),
    ] {
        fs::write(registry.dir.join("a.json"), garbage).expect("written");
        let failure = registry.get("a").expect_err(garbage);
        assert!(failure.exit.status() == 3 && failure.what.contains("a.json"), "{failure:?}");
        assert!(failure.hint.contains("register a") && failure.hint.contains("unregister a"), "{failure:?}");
        let mut notes = Vec::new();
        let found = registry.all(&mut |note| notes.push(note.to_string())).expect("read");
        assert_eq!((ids(&found), notes.len()), (vec!["b", "c"], 1), "{notes:?}");
    }
    registry.put(&inbox("a"), false).expect("as the hint says");
    assert!(registry.get("a").is_ok());
    fs::write(registry.dir.join("a.json"), "garbage").expect("written");
    assert_eq!((registry.remove("a"), ids(&all(&registry))), (Ok(true), vec!["b", "c"]));
    fs::write(registry.dir.join("b.json"), good.replace("\"a\"", "\"B\"").replace('{', "{\"new\":[{}],")).expect("written");
    assert_eq!(ids(&all(&registry)), ["B", "c"], "what a newer version adds is no garbage");
}

#[test]
fn what_a_record_may_not_hold_is_refused_before_anything_is_written() {
    let (_dir, registry) = registry();
    let good = paned("a", 1);
    let with_pane = |id: &str| Agent { pane: Some(Pane { id: id.into(), ..pane(1) }), ..good.clone() };
    for (agent, why) in [
        (inbox("a b"), "'a b' is no agent id"),
        (Agent { groups: vec!["@x".into()], ..good.clone() }, "group: '@x'"),
        (Agent { groups: vec!["ALL".into()], ..good.clone() }, "'@all' is everybody"),
        (Agent { groups: vec!["g".into(); 65], ..good.clone() }, "65 groups"),
        (Agent { kind: Some("a\n".into()), ..good.clone() }, "kind: 'a\n'"),
        (Agent { pane: None, ..good.clone() }, "the route pane needs a pane"),
        (with_pane("%0;"), "'%0;' is no pane"),
        (with_pane("%"), "'%' is no pane"),
        (with_pane("main:0.1"), "'main:0.1' is no pane"),
        (Agent { description: Some("x".repeat(201)), ..good.clone() }, "201 bytes"),
    ] {
        let failure = registry.put(&agent, true).expect_err(why);
        assert!(failure.exit.status() == 2 && failure.what.contains(why), "{failure:?}");
    }
    assert_eq!((registry.exists(), here(&registry, 1)), (Ok(false), None));
}

#[test]
fn a_description_is_one_harmless_line() {
    for (text, kept) in [
        ("does things", Some("does things")),
        (" two\nlines\t", Some("two lines")),
        ("a\u{1b}[31mb\u{202e}", Some("a[31mb")),
        (" \n", None),
        ("\u{200b}", None),
    ] {
        assert_eq!(check_description(text), Ok(kept.map(String::from)), "{text:?}");
    }
    assert_eq!(check_description(&"é".repeat(101)).map_err(|failure| failure.exit.status()), Err(2));
}

#[test]
fn a_sweep_removes_who_is_over_and_what_leads_nowhere() {
    let (_dir, registry) = registry();
    registry.put(&Agent { process: Some(ended()), ..paned("a", 1) }, false).expect("put");
    registry.put(&paned("b", 2), false).expect("put");
    fs::write(registry.dir.join(PANES).join("1%9"), "zz").expect("written");
    fs::write(registry.dir.join(NEW), "{\"agent").expect("written");
    let now = crate::time::now();
    let over = registry.sweep(&|agent| agent.status(now, LONG) == Status::Gone, &mut |_| {}).expect("swept");
    assert_eq!((ids(&over), ids(&all(&registry)), here(&registry, 2)), (vec!["a"], vec!["b"], Some("b".into())));
    let panes = fs::read_dir(registry.dir.join(PANES)).expect("there").count();
    assert!(panes == 1 && !registry.dir.join(NEW).exists());
}

#[test]
fn of_many_who_want_one_pane_at_once_one_has_it() {
    let (_dir, registry) = registry();
    let start = Barrier::new(8);
    let won = thread::scope(|scope| {
        let claim = |n: usize| {
            let (registry, start) = (&registry, &start);
            scope.spawn(move || {
                start.wait();
                registry.put(&paned(&format!("a{n}"), 1), false).is_ok()
            })
        };
        let claims: Vec<_> = (0..8).map(claim).collect();
        claims.into_iter().map(|claim| claim.join().expect("joined")).filter(|won| *won).count()
    });
    assert_eq!((won, all(&registry).len()), (1, 1));
    assert_eq!(here(&registry, 1), all(&registry).first().map(|agent| agent.agent_id.clone()));
}

#[test]
fn a_change_sees_the_old_record_and_nothing_of_others_comes_between() {
    let (_dir, registry) = registry();
    thread::scope(|scope| {
        for n in 0..8 {
            let registry = &registry;
            scope.spawn(move || {
                let changed = registry.change("a", false, |old| {
                    let mut agent = old.unwrap_or_else(|| inbox("a"));
                    agent.groups.push(format!("g{n}"));
                    Ok(agent)
                });
                changed.expect("changed")
            });
        }
    });
    assert_eq!(all(&registry)[0].groups.len(), 8);
}

fn processes() -> impl Strategy<Value = Option<Process>> {
    let process = (any::<u32>(), "[0-9a-zA-Z :]{1,30}", prop::option::of("[0-9]{1,10}"));
    prop::option::of(process.prop_map(|(pid, start, space)| Process { pid, start, space }))
}

fn panes() -> impl Strategy<Value = Option<Pane>> {
    let server = ("/[^\0]{1,40}", any::<u32>(), "[0-9]{1,20}", prop::option::of("[0-9]{1,10}"));
    let server = server.prop_map(|(socket, pid, start, space)| Server { socket: socket.into(), pid, start, space });
    prop::option::of((0u32.., server, any::<u32>()).prop_map(|(id, server, pid)| Pane { id: format!("%{id}"), server, pid }))
}

proptest! {
    #[test]
    fn every_agent_reads_back_as_it_was_written(
        pane in panes(), process in processes(), route in 0usize..3, shell_ok: bool, kind in prop::option::of("[a-z]{1,9}"),
        groups in prop::collection::vec("[a-k][a-z0-9]{0,9}", 0..5), description in "\\PC{0,60}",
    ) {
        let route = if pane.is_none() { Route::Inbox } else { [Route::Pane, Route::Wake, Route::Inbox][route] };
        let description = check_description(&description).unwrap_or(None);
        let agent = Agent { route, pane, process, kind, shell_ok, groups, description, ..inbox("Agent-1") };
        let line = agent.write();
        prop_assert!(!line.contains(&b'\n'));
        let read = Agent::parse(&line, agent.seen_at);
        prop_assert_eq!(read.as_ref(), Some(&agent));
        // A torn one is none.
        for end in 0..line.len() {
            prop_assert_eq!(Agent::parse(&line[..end], agent.seen_at), None);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Agent::parse(&bytes, Timestamp::UNIX_EPOCH);
    }
}

/// One of many that register, beat and unregister, and are killed in the midst of it.
fn work(registry: &Registry, server: u32) {
    let id = format!("w{}", std::process::id());
    let server = Server::of(Path::new("/tmp/s"), server).expect("told").expect("alive");
    for round in 0u32.. {
        let pane = Pane { id: format!("%{}", round % 2), server: server.clone(), pid: server.pid };
        let description = Some("x".repeat(1 + round as usize % (DESCRIPTION_BYTES_MAX - 1)));
        let agent = Agent { route: Route::Pane, pane: Some(pane), process: Process::own().ok(), description, ..inbox(&id) };
        let _ = registry.put(&agent, round.is_multiple_of(7));
        let _ = registry.beat(&id);
        if round.is_multiple_of(3) {
            let _ = registry.remove(&id);
        }
    }
}

/// A worker's process, ended and reaped also when the test fails.
struct Worker(std::process::Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_is_killed_in_the_midst_each_record_is_whole_and_a_pane_has_one_living_agent() {
    const TEST: &str = "registry::tests::whoever_is_killed_in_the_midst_each_record_is_whole_and_a_pane_has_one_living_agent";
    const WORKS: &str = "SWARM_TEST_REGISTRY";
    if let Some(place) = std::env::var_os(WORKS) {
        // A worker, in a process of its own. The server of all its panes is the test's process.
        let server = std::env::var("SWARM_TEST_SERVER").expect("told").parse().expect("a pid");
        return work(&Registry { dir: place.into() }, server);
    }
    let (_dir, registry) = registry();
    let begin = || {
        let mut worker = Command::new(std::env::current_exe().expect("this binary"));
        worker.args([TEST, "--exact", "--nocapture"]).stdout(std::process::Stdio::null());
        Worker(worker.env(WORKS, &registry.dir).env("SWARM_TEST_SERVER", std::process::id().to_string()).spawn().expect("a process"))
    };
    let mut workers: Vec<_> = (0..4).map(|_| begin()).collect();
    let (mut seen, mut most) = (0, 0);
    for round in 0..200usize {
        let at = round % workers.len();
        if round % 3 == 0 {
            // The one before is killed by that.
            workers[at] = begin();
        }
        thread::sleep(Duration::from_micros(500 * (round as u64 % 7)));
        let Ok(_lock) = files::lock(&registry.dir.join(".lock"), false) else { continue };
        let agents = all(&registry);
        seen += agents.len();
        most = most.max(agents.len());
        for number in 0..2 {
            let in_pane = |agent: &&Agent| agent.pane.as_ref().is_some_and(|of| of.id == format!("%{number}"));
            let living: Vec<&str> =
                agents.iter().filter(in_pane).filter(|agent| agent.life() != Life::Gone).map(|agent| agent.agent_id.as_str()).collect();
            assert!(living.len() <= 1, "%{number}: {living:?}");
            if let [id] = living[..] {
                assert_eq!(here(&registry, number).as_deref(), Some(id));
            }
        }
    }
    drop(workers);
    assert!(seen > 0 && most > 1, "they were there: {seen}, {most}");
    registry.sweep(&|agent| agent.life() == Life::Gone, &mut |note| panic!("{note}")).expect("swept");
    assert_eq!((all(&registry), fs::read_dir(registry.dir.join(PANES)).expect("there").count()), (vec![], 0));
}
