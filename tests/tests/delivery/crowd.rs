//! Many at once: many who send into one pane, and many who send to each other while agents die and others take their places.

use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use swarm_tests::deliveries::{Life, Sent, faults};
use swarm_tests::random::Random;
use swarm_tests::swarm::{Answered, Swarm};
use swarm_tests::tmux::{MARK, Mode, Pane, StandIn, signal};

use crate::messages;

/// A process of a test's own that does nothing, as the agent whose life a record is tied to.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> io::Result<Sleeper> {
        std::process::Command::new("sleep").arg("infinity").stdin(Stdio::null()).stdout(Stdio::null()).spawn().map(Sleeper)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn thirty_senders_at_once_into_one_pane_mix_nothing() {
    const SENDERS: usize = 30;
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    // Long enough for a paste to be written in parts.
    let text = |n: usize| format!("{n}: {}", format!("{n:02}-").repeat(1500));
    let senders: Vec<Child> = (0..SENDERS)
        .map(|n| {
            let mut call = swarm.tool("swarm-send");
            call.args(["--as", &format!("sender-{n}"), "--to", "agent-1", &text(n)]);
            call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let sent: Vec<Answered> = senders.into_iter().map(|sender| Answered::of(&sender.wait_with_output().unwrap())).collect();
    for sent in &sent {
        assert_eq!(sent.outcome("agent-1"), "delivered", "{sent:?}");
    }
    let read = messages(&pane, SENDERS);
    for (n, sent) in sent.iter().enumerate() {
        let of_this: Vec<_> = read.iter().filter(|message| message.seq == sent.seq()).collect();
        assert_eq!(of_this.len(), 1, "sender-{n}");
        assert_eq!((of_this[0].from.as_str(), of_this[0].lines.concat()), (format!("sender-{n}").as_str(), text(n)));
    }
}

/// How many agents send to each other, and how much.
const AGENTS: usize = 20;
const SENDERS: usize = 8;
const SENDS: usize = 200;

/// A place in which one agent after the other lives, under one id.
struct Place {
    agent_id: String,
    pane: Pane,
    process: Sleeper,
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Its process is killed; the pane stays a while.
    Killed,
    /// Its pane is closed under it.
    Closed,
    /// The program in the pane is killed, and what it had not read is lost.
    CutOff,
}

#[test]
fn what_agents_send_each_other_while_they_die_and_are_replaced_is_what_their_files_hold() {
    let mut swarm = Swarm::configured("[delivery.default]\nenter_delay_ms = 20\n");
    let stand_in = StandIn::new(Mode::Bracketed);
    let panes = swarm.server.stand_ins(&stand_in, AGENTS);
    // Those who take the places of the dead are started before, so that the deaths come quickly.
    let mut spare = swarm.server.stand_ins(&stand_in, AGENTS);
    let place = |(n, pane): (usize, Pane)| {
        let place = Place { agent_id: format!("agent-{n}"), pane, process: Sleeper::start().unwrap() };
        swarm.register(&place.agent_id, &place.pane, &["--pid", &place.process.pid()]);
        place
    };
    let mut places: Vec<Place> = panes.into_iter().enumerate().map(place).collect();
    let mut lives: Vec<Life> = Vec::new();

    let next = AtomicUsize::new(0);
    let sent: Mutex<Vec<Sent>> = Mutex::default();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (swarm, next, sent) = (&swarm, &next, &sent);
            scope.spawn(move || {
                let mut random = Random(sender as u64);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= SENDS {
                        break;
                    }
                    let one = send(swarm, n, &mut random);
                    sent.lock().unwrap().push(one);
                }
            });
        }
        // Meanwhile agents die, at moments that the work sets: one in each tenth message.
        let mut random = Random(99);
        while let Some(pane) = spare.pop() {
            let due = (AGENTS - spare.len()) * SENDS / (AGENTS + 1);
            swarm_tests::wait::until("so many messages went out", || next.load(Ordering::Relaxed) >= due);
            let place = &mut places[random.below(AGENTS as u64) as usize];
            let end = [End::Killed, End::Killed, End::Closed, End::CutOff][random.below(4) as usize];
            lives.push(replace(&swarm, place, pane, end));
        }
    });
    let sent = sent.into_inner().unwrap();
    assert_eq!(sent.len(), SENDS);
    // What waits for no good reason comes now, and nothing comes twice.
    swarm.retry();
    swarm.retry();
    for Place { agent_id, pane, .. } in &places {
        swarm.server.seal(pane);
        lives.push(Life { agent_id: agent_id.clone(), bytes: pane.bytes(), is_cut: false });
    }
    let (faults, words) = faults(&sent, &swarm.journal(), &lives);
    eprintln!("{words:?}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let delivered = words.get("delivered").copied().unwrap_or(0);
    assert!(delivered > SENDS, "too little went through to prove anything: {words:?}");
}

/// One message from an agent to one, to some, or to all others.
fn send(swarm: &Swarm, n: usize, random: &mut Random) -> Sent {
    let from = random.below(AGENTS as u64) as usize;
    let count = [1, 1, 2, 5, AGENTS - 1][random.below(5) as usize];
    let mut others: Vec<usize> = (0..AGENTS).filter(|agent| *agent != from).collect();
    while others.len() > count {
        others.swap_remove(random.below(others.len() as u64) as usize);
    }
    let to: Vec<String> = others.iter().map(|agent| format!("agent-{agent}")).collect();
    let (from, text) = (format!("agent-{from}"), format!("text {n}; of many"));
    let mut call = swarm.tool("swarm-send");
    let output = call.args(["--as", &from, "--to", &to.join(","), &text]).output().unwrap();
    let answered = Answered::of(&output);
    assert_eq!(answered.answers.len(), 1, "{answered:?}");
    Sent { from, to, text, answer: answered.answers[0].clone() }
}

/// Ends the life in a place and lets another begin there, in another pane.
fn replace(swarm: &Swarm, place: &mut Place, pane: Pane, end: End) -> Life {
    let is_cut = matches!(end, End::CutOff);
    let begin = |place: &mut Place| {
        place.process = Sleeper::start().unwrap();
        let old = std::mem::replace(&mut place.pane, pane.clone());
        swarm.register(&place.agent_id, &place.pane, &["--pid", &place.process.pid(), "--force"]);
        old
    };
    let old = match end {
        // It is dead, and a while later another lives elsewhere; what was on its way into the old pane still gets there.
        End::Killed => {
            signal(place.process.0.id(), nix::sys::signal::Signal::SIGKILL);
            let old = begin(place);
            swarm.server.seal(&old);
            old
        }
        End::Closed => {
            let old = place.pane.clone();
            swarm.server.seal(&old);
            swarm.server.tmux(&["kill-pane", "-t", &old.id]);
            begin(place)
        }
        End::CutOff => {
            place.pane.kill();
            begin(place)
        }
    };
    // The file of a program that is being killed may not have its end yet.
    if is_cut {
        swarm_tests::wait::until("it is dead", || !swarm_tests::tmux::is_alive(old.pid));
    }
    let bytes = old.bytes();
    assert!(is_cut || bytes.ends_with(MARK.as_bytes()));
    Life { agent_id: place.agent_id.clone(), bytes, is_cut }
}

#[test]
fn a_pipe_of_records_is_delivered_record_by_record_in_its_order() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(3);
    let lines: String = (0..60).map(|n| format!("{{\"recipients\":[\"agent-{}\"],\"content\":\"text {n}\"}}\n", n % 3)).collect();
    let file = swarm.server.dir().join("lines");
    std::fs::write(&file, lines).unwrap();
    let output = swarm.tool("swarm-send").args(["--as", "user"]).stdin(File::open(file).unwrap()).output().unwrap();
    let sent = Answered::of(&output);
    assert_eq!((sent.status, sent.answers.len()), (0, 60), "{sent:?}");
    for (n, answer) in sent.answers.iter().enumerate() {
        assert_eq!(swarm_tests::swarm::outcomes(answer), [(format!("agent-{}", n % 3), "delivered".to_string())]);
    }
    for (agent, pane) in panes.iter().enumerate() {
        let wanted: Vec<String> = (0..20).map(|n| format!("text {}", n * 3 + agent)).collect();
        assert_eq!(crate::texts(pane, 20), wanted);
    }
}
