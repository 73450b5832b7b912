use super::*;
use crate::deliver::{Outcome, Word, why};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use swarm_common::fold::State;
use swarm_common::ndjson::LINE_BYTES_MAX;

fn told(agent_id: &str, why: &'static str) -> Told {
    let outcome = if why.is_empty() { Outcome::delivered(agent_id) } else { Outcome::of(agent_id, Word::Queued, why) };
    Told { outcome, is_wake: false }
}

fn record(draft: &Draft) -> Value {
    serde_json::from_slice(&[b"{", draft.body.as_slice()].concat()).unwrap()
}

#[test]
fn a_retry_says_which_message_to_whom_for_which_time_and_what_became_of_it() {
    let of = Of { seq: 7, msg_id: "m1", sender_id: "lead" };
    let unread = record(&retry_draft(of, &told("ann", why::SHELL), 2, false, &mut Ids::default()));
    let data = json!({"seq": 7, "try": 2, "agent_id": "ann", "outcome": "queued", "why": "shell"});
    let content = "seq 7, retry 2: queued for ann (shell)";
    assert_eq!(unread, json!({"msg_type": "RETRY", "sender_id": "lead", "reply_to": "m1", "data": data, "content": content}));
    let read = record(&retry_draft(of, &told("ann", ""), 3, true, &mut Ids::default()));
    assert_eq!((&read["recipients"], &read["data"]["try"]), (&json!(["ann"]), &json!(3)), "it finds that in its inbox");
    assert_eq!(read["content"], "seq 7, retry 3: of lead is read, and not acknowledged: swarm-ack m1");
}

#[test]
fn an_escalation_says_of_whom_and_why_and_shows_the_message() {
    let of = |agent_ids: Vec<&'static str>, tries, why| Escalation { seq: 7, msg_id: "m1", sender_id: "lead", agent_ids, tries, why };
    let draft = |escalation: &Escalation<'_>, content: &str| {
        record(&escalation_draft(escalation, &["@all".to_string()], "QUESTION", content, &mut Ids::default()))
    };
    let escalated = draft(&of(vec!["ann", "bob"], 3, NO_ACKNOWLEDGEMENT), "Which schema?");
    let content = "seq 7, QUESTION from lead: no acknowledgement of ann, bob after 3 retries\nWhich schema?";
    let data = json!({"seq": 7, "agent_ids": ["ann", "bob"], "why": "no acknowledgement"});
    let expected =
        json!({"msg_type": "ESCALATION", "sender_id": "lead", "recipients": ["@all"], "reply_to": "m1", "data": data, "content": content});
    assert_eq!(escalated, expected);
    let gone = draft(&of(vec!["a", "b", "c", "d", "e", "f"], 0, GONE), &"\u{6f22}".repeat(3000));
    let content = gone["content"].as_str().unwrap();
    assert!(
        content.starts_with("seq 7, QUESTION from lead: a, b, c, d and 2 more: gone, and has not acknowledged it\n\u{6f22}"),
        "{content}"
    );
    assert!(content.ends_with("\u{6f22}...") && content.len() < 2200);
}

#[test]
fn any_number_of_ids_fits_into_escalations_and_each_is_in_one() {
    let ids: Vec<String> = (0..1024).map(|n| format!("{n:064}")).collect();
    let agent_ids = ids.iter().map(String::as_str).collect();
    let parts = parts(Escalation { seq: 7, msg_id: "m1", sender_id: "lead", agent_ids, tries: 3, why: GONE });
    assert_eq!(parts.iter().flat_map(|part| part.agent_ids.clone()).collect::<Vec<_>>(), ids);
    let recipients: Vec<String> = ids[..IDS_BYTES_MAX / 67].to_vec();
    for part in &parts {
        let body = escalation_draft(part, &recipients, "QUESTION", &"\u{1}".repeat(10_000), &mut Ids::default()).body;
        assert!(body.len() + 200 <= LINE_BYTES_MAX, "{}", body.len());
    }
}

const HOUR_MS: i64 = 3_600_000;
const SLACK_MS: i64 = 2000;
const AGENTS: [&str; 3] = ["ann", "bob", "carl"];
const CONFIGURED_MS: [i64; 2] = [30_000, 60_000];

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

/// What a naive bookkeeper says of one message and one agent.
#[derive(Clone, Debug)]
struct Entry {
    spans_ms: Vec<i64>,
    tries: u32,
    /// The last record's time by the journal, and by its writer's clock.
    last: (i64, i64),
    is_acked: bool,
    escalations: u32,
    typed: u32,
    kills: u32,
}

impl Entry {
    fn is_due(&self, now: i64) -> bool {
        let span = self.spans_ms[(self.tries as usize).min(self.spans_ms.len() - 1)];
        let (by_journal, by_writer) = self.last;
        match [by_journal, by_writer].into_iter().find(|at| *at <= now + SLACK_MS) {
            Some(at) => at + span <= now,
            None => true,
        }
    }

    fn waits(&self) -> bool {
        !self.is_acked && self.escalations == 0
    }
}

/// A journal whose clock is ours, the fold over it, and the bookkeeper.
#[derive(Default)]
struct World {
    lines: Vec<String>,
    pending: Pending,
    now: i64,
    journal_time: i64,
    ids: u64,
    gone: BTreeSet<usize>,
    read_up_to: [u64; AGENTS.len()],
    /// By the message's seq and the agent's number.
    book: BTreeMap<(u64, usize), Entry>,
}

impl World {
    /// Stores a record, with an id that says when it was made; its seq.
    fn store(&mut self, body: &str) -> u64 {
        self.journal_time = self.journal_time.max(self.now);
        let seq = self.lines.len() as u64 + 1;
        self.ids += 1;
        let made = format!("{:012x}", at(self.now).as_millisecond());
        let id = format!("{}-{}-7000-8000-{:012x}", &made[..8], &made[8..], self.ids);
        let timestamp = swarm_common::time::write(at(self.journal_time));
        let line = format!("{{\"seq\":{seq},\"msg_id\":\"{id}\",\"timestamp\":\"{timestamp}\",{body}");
        self.pending.take(seq, line.as_bytes());
        self.lines.push(line);
        seq
    }

    fn id_of(&self, seq: u64) -> String {
        serde_json::from_str::<Value>(&self.lines[seq as usize - 1]).unwrap()["msg_id"].as_str().unwrap().to_string()
    }

    fn send(&mut self, to: usize, own_ms: Option<i64>) {
        let agents: Vec<usize> = (0..AGENTS.len()).filter(|n| to >> n & 1 == 1).collect();
        let names: Vec<&str> = agents.iter().map(|n| AGENTS[*n]).collect();
        let own = own_ms.map_or(String::new(), |ms| format!("\"retry_ms\":[{ms}],"));
        let body = json!(names);
        let body = format!(
            "\"msg_type\":\"QUESTION\",\"sender_id\":\"lead\",\"recipients\":{body},\"requires_ack\":true,{own}\"content\":\"x\"}}"
        );
        let seq = self.store(&body);
        let spans_ms = own_ms.map_or(CONFIGURED_MS.to_vec(), |ms| vec![ms]);
        let last = (self.journal_time, self.now);
        for agent in agents {
            let spans_ms = spans_ms.clone();
            self.book.insert((seq, agent), Entry { spans_ms, tries: 0, last, is_acked: false, escalations: 0, typed: 0, kills: 0 });
        }
    }

    fn ack(&mut self, which: usize, agent: usize) {
        let seqs: BTreeSet<u64> = self.book.keys().map(|(seq, _)| *seq).collect();
        let Some(seq) = seqs.iter().nth(which % seqs.len().max(1)).copied() else { return };
        let (id, name) = (self.id_of(seq), AGENTS[agent]);
        self.store(&format!(
            "\"msg_type\":\"ACK\",\"sender_id\":\"{name}\",\"recipients\":[\"lead\"],\"reply_to\":\"{id}\",\"content\":\"\"}}"
        ));
        if let Some(entry) = self.book.get_mut(&(seq, agent)) {
            entry.is_acked = true;
        }
    }

    /// A tick that is killed after so many deeds.
    fn tick(&mut self, count_max: usize, killed_after: usize) -> Result<usize, TestCaseError> {
        let retry = CONFIGURED_MS.map(|ms| Duration::from_millis(ms as u64));
        let number = |id: &str| AGENTS.iter().position(|name| *name == id).unwrap();
        let (gone, read_up_to, now) = (self.gone.clone(), self.read_up_to, self.now);
        let mut presence = |waiting: &Waiting<'_>| match number(waiting.agent_id) {
            agent if gone.contains(&agent) => Presence::Gone,
            agent if read_up_to[agent] > waiting.seq => Presence::Read,
            _ => Presence::Unread,
        };
        let saved = serde_json::to_vec(&self.pending).unwrap();
        let pending: Pending = serde_json::from_slice(&saved).unwrap();
        let plan = plan(&pending, &retry, at(now), count_max, &mut presence);

        // The bookkeeper's: who is due, the oldest first; those of one message with one reason are one.
        let (mut again, mut escalated, mut units) = (Vec::new(), BTreeMap::<(u64, &str), Vec<usize>>::new(), 0);
        let mut rest = 0;
        for (&(seq, agent), entry) in self.book.iter().filter(|(_, entry)| entry.waits()) {
            let is_gone = self.gone.contains(&agent);
            if !is_gone && !entry.is_due(now) {
                continue;
            }
            let is_retry = !is_gone && (entry.tries as usize) < entry.spans_ms.len();
            let key = (seq, if is_gone { GONE } else { NO_ACKNOWLEDGEMENT });
            let is_known = !is_retry && escalated.contains_key(&key);
            if units == count_max && !is_known {
                rest += 1;
            } else if is_retry {
                units += 1;
                again.push((seq, agent, entry.tries + 1, read_up_to[agent] > seq));
            } else {
                units += usize::from(!is_known);
                escalated.entry(key).or_default().push(agent);
            }
        }
        let planned: Vec<_> =
            plan.again.iter().map(|again| (again.waiting.seq, number(again.waiting.agent_id), again.count, again.is_read)).collect();
        prop_assert_eq!(&planned, &again);
        let planned: BTreeMap<_, _> = plan
            .escalations
            .iter()
            .map(|one| ((one.seq, one.why), one.agent_ids.iter().map(|id| number(id)).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(&planned, &escalated);
        prop_assert_eq!(plan.rest, rest);

        // Carried out, up to the kill: each is typed, and then written down.
        let mut deeds = 0;
        for (seq, agent, count, is_read) in again {
            let is_killed = deeds == killed_after;
            let entry = self.book.get_mut(&(seq, agent)).unwrap();
            entry.typed += 1;
            if is_killed {
                entry.kills += 1;
                return Ok(units);
            }
            let id = self.id_of(seq);
            let of = Of { seq, msg_id: &id, sender_id: "lead" };
            let draft = retry_draft(of, &told(AGENTS[agent], ""), count, is_read, &mut Ids::default());
            self.store(std::str::from_utf8(&draft.body).unwrap());
            let last = (self.journal_time, self.now);
            let entry = self.book.get_mut(&(seq, agent)).unwrap();
            (entry.tries, entry.last) = (count, last);
            deeds += 1;
        }
        for escalation in &plan.escalations {
            if deeds == killed_after {
                return Ok(units);
            }
            let draft = escalation_draft(escalation, &["@all".to_string()], "QUESTION", "x", &mut Ids::default());
            self.store(std::str::from_utf8(&draft.body).unwrap());
            for id in &escalation.agent_ids {
                self.book.get_mut(&(escalation.seq, number(id))).unwrap().escalations += 1;
            }
            deeds += 1;
        }
        let untold: Vec<(u64, String)> = self.pending.untold().map(|(seq, id)| (seq, id.to_string())).collect();
        for (seq, id) in untold {
            if deeds == killed_after {
                return Ok(units);
            }
            self.store(&format!(
                "\"msg_type\":\"DELIVERY\",\"sender_id\":\"lead\",\"reply_to\":\"{id}\",\"data\":{{\"seq\":{seq},\"outcomes\":[]}},\"content\":\"\"}}"
            ));
            deeds += 1;
        }
        Ok(units)
    }

    /// The fold, one computed anew, and the bookkeeper say the same.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut anew = Pending::default();
        (1..).zip(&self.lines).for_each(|(seq, line)| anew.take(seq, line.as_bytes()));
        prop_assert_eq!(&anew, &self.pending);
        let said: Vec<(u64, &str, u32, bool)> =
            self.pending.all().iter().map(|waiting| (waiting.seq, waiting.agent_id, waiting.tries, waiting.is_escalated)).collect();
        let waiting = self.book.iter().filter(|(_, entry)| !entry.is_acked);
        let booked: Vec<_> = waiting.map(|(&(seq, agent), entry)| (seq, AGENTS[agent], entry.tries, entry.escalations > 0)).collect();
        prop_assert_eq!(said, booked);
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Send { to: usize, own_ms: Option<i64> },
    Ack { which: usize, agent: usize },
    Read { agent: usize },
    ComesOrGoes { agent: usize },
    Pass { ms: i64 },
    SetClock { ms: i64 },
    Tick { count_max: usize, killed_after: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    let span = prop::sample::select(vec![1, 10, 999, 10_000, 31_000, 61_000]);
    prop_oneof![
        4 => (1usize..8, prop::option::of(prop::sample::select(vec![1, 5000, 100_000]))).prop_map(|(to, own_ms)| Deed::Send { to, own_ms }),
        3 => (0usize..20, 0usize..3).prop_map(|(which, agent)| Deed::Ack { which, agent }),
        1 => (0usize..3).prop_map(|agent| Deed::Read { agent }),
        1 => (0usize..3).prop_map(|agent| Deed::ComesOrGoes { agent }),
        6 => span.prop_map(|ms| Deed::Pass { ms }),
        1 => prop::sample::select(vec![-HOUR_MS, HOUR_MS, -3000, 3000, -1000]).prop_map(|ms| Deed::SetClock { ms }),
        6 => (1usize..9, 0usize..12).prop_map(|(count_max, killed_after)| Deed::Tick { count_max, killed_after }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn each_message_is_acknowledged_or_escalated_once_whatever_happens(deeds in prop::collection::vec(deed(), 1..80)) {
        let mut world = World::default();
        for deed in deeds {
            match deed {
                Deed::Send { to, own_ms } => world.send(to, own_ms),
                Deed::Ack { which, agent } => world.ack(which, agent),
                Deed::Read { agent } => world.read_up_to[agent] = world.lines.len() as u64 + 1,
                Deed::ComesOrGoes { agent } => if !world.gone.remove(&agent) { world.gone.insert(agent); },
                Deed::Pass { ms } | Deed::SetClock { ms } => world.now += ms,
                Deed::Tick { count_max, killed_after } => {
                    // However many are late, and whatever the clock does: no storm.
                    let done = world.tick(count_max, killed_after)?;
                    prop_assert!(done <= count_max);
                }
            }
            world.check()?;
        }
        // Given enough ticks, and time, also where the clock was set back.
        for _ in 0..2000 {
            if !world.book.values().any(Entry::waits) && world.pending.untold().next().is_none() {
                break;
            }
            world.now += 10_000;
            world.tick(16, usize::MAX)?;
        }
        world.check()?;
        for (of, entry) in &world.book {
            prop_assert!(entry.escalations <= 1 && !entry.waits(), "{of:?} {entry:?}");
            prop_assert!(entry.typed == entry.tries + entry.kills, "typed for each try once, and again for each kill: {of:?} {entry:?}");
        }
        prop_assert_eq!(world.pending.untold().count(), 0);
    }
}
