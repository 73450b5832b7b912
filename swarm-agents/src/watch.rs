//! `watch`: tells of who comes, goes or changes, and sleeps in between: until the directory changes, a process ends, or somebody becomes stale.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use swarm_common::exit::{Exit, Failure};
use swarm_common::ndjson::Out;
use swarm_common::platform::{Life, Process, Watch, Woken};
use swarm_common::registry::{Agent, Registry, Status};
use swarm_common::store::Store;
use swarm_common::{ndjson, time};

use crate::answer;
use crate::cli;
use crate::commands::note;

/// Who cannot be told of a process's end looks so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The agents as they were when they were told of last, by their ids in lower case.
type Known = BTreeMap<String, (Agent, Status)>;

/// Tells until its reader goes.
///
/// # Errors
/// Status 3 when the system failed.
pub fn watch(options: &cli::Watch) -> Result<Exit, Failure> {
    let store = Store::open(options.place.store.as_deref())?;
    // Where it cannot be made, the store is watched, in which another may make it.
    let _ = store.agents_dir();
    let (registry, stale_after) = (Registry::of(&store), store.config().agents.stale_after);
    let mut out = Out::stdout()?;
    let mut known: Option<Known> = None;
    let mut noted = HashSet::new();
    let mut is_told = false;
    loop {
        // Begun before it is looked: what changes meanwhile wakes it.
        let mut watch = Watch::new(&[registry.dir()]);
        if let Some(why) = watch.polling()
            && !std::mem::replace(&mut is_told, true)
        {
            note(&format!("looking every second: {why}"));
        }
        let (now, mut said) = (time::now(), HashSet::new());
        let agents = registry.all(&mut |words| {
            if !noted.contains(words) {
                note(words);
            }
            said.insert(words.to_string());
        })?;
        // Each once, and again when it was mended in between.
        noted = said;
        let status = |agent: Agent| (agent.agent_id.to_ascii_lowercase(), (agent.status(now, stale_after), agent));
        let found: Known = agents.into_iter().map(status).map(|(id, (status, agent))| (id, (agent, status))).collect();
        match &known {
            Some(known) => tell(&mut out, known, &found)?,
            None if options.list => {
                for (agent, status) in found.values() {
                    out.line(&answer::agent("present", agent, *status))?;
                }
            }
            None => {}
        }
        out.flush()?;
        let (ends, is_sure) = ends(&found);
        // A beat, which only moves a file's time, is no change of the directory.
        for (agent, _) in found.values().filter(|(_, status)| *status == Status::Stale) {
            watch.add_held(&registry.file(&agent.agent_id));
        }
        let due = found.values().filter_map(|(agent, status)| stale_at(agent, *status, stale_after)).min();
        let mut left = due.map(|due| left(now, due));
        if !is_sure || watch.polling().is_some() {
            left = Some(left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY)));
        }
        known = Some(found);
        let ends: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
        let until = left.and_then(|left| Instant::now().checked_add(left));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match watch.wait_or_ends(Some(out.fd()), &ends, left)? {
                Woken::ReaderGone => return Err(ndjson::reader_gone()),
                // To look at each process every 100 ms would keep the machine busy.
                Woken::Changed if watch.polling().is_some() => {}
                _ => break,
            }
        }
    }
}

/// A line for each who is not as he was.
fn tell(out: &mut Out, known: &Known, found: &Known) -> Result<(), Failure> {
    let gone = known.iter().filter(|(id, _)| !found.contains_key(*id));
    for (_, (agent, status)) in gone {
        out.line(&answer::agent("unregistered", agent, *status))?;
    }
    for (id, (agent, status)) in found {
        if let Some(event) = event(known.get(id), agent, *status) {
            out.line(&answer::agent(event, agent, *status))?;
        }
    }
    Ok(())
}

/// What happened to an agent; none where nothing did. That it was heard of is nothing.
fn event(before: Option<&(Agent, Status)>, agent: &Agent, status: Status) -> Option<&'static str> {
    let Some((old, was)) = before else { return Some("registered") };
    let is_same = Agent { seen_at: agent.seen_at, ..old.clone() } == *agent;
    match (was, status) {
        (was, now) if *was == now => (!is_same).then_some("updated"),
        (_, Status::Gone) => Some("gone"),
        (_, Status::Stale) => Some("stale"),
        // Its process has ended: this is another one.
        (Status::Gone, Status::Active) => Some("registered"),
        (_, Status::Active) => Some("active"),
    }
}

/// What becomes readable when a process that somebody lives as long as has ended; and whether there is one for each.
fn ends(found: &Known) -> (Vec<OwnedFd>, bool) {
    let mut processes: Vec<Process> = Vec::new();
    for (agent, status) in found.values() {
        if *status == Status::Gone {
            continue;
        }
        processes.extend(agent.lives_by());
    }
    processes.sort_unstable_by(|a, b| (a.pid, &a.start, &a.space).cmp(&(b.pid, &b.start, &b.space)));
    processes.dedup();
    let (mut ends, mut is_sure) = (Vec::with_capacity(processes.len()), true);
    for process in processes {
        match process.end() {
            Some(end) => ends.push(end),
            // Of another namespace it is no use to look; of one that ended this very moment, or where there are no descriptors left, it is.
            None => is_sure &= process.life() == Life::Unknown,
        }
    }
    (ends, is_sure)
}

/// When an agent becomes stale that no process tells of.
fn stale_at(agent: &Agent, status: Status, stale_after: Duration) -> Option<Timestamp> {
    (status == Status::Active && agent.life() == Life::Unknown).then(|| agent.stale_at(stale_after)).flatten()
}

/// From now until then, and a little more: woken early it would look twice.
fn left(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or_default() + Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_by_what_was_and_is() {
        let agent = Agent::new("a", Timestamp::UNIX_EPOCH);
        let heard = Agent { seen_at: Timestamp::MAX, ..agent.clone() };
        let other = Agent { groups: vec!["g".into()], ..agent.clone() };
        use Status::{Active, Gone, Stale};
        for (before, now, status, told) in [
            (None, &agent, Active, Some("registered")),
            (Some(Active), &agent, Active, None),
            (Some(Active), &heard, Active, None),
            (Some(Active), &other, Active, Some("updated")),
            (Some(Active), &agent, Stale, Some("stale")),
            (Some(Active), &other, Gone, Some("gone")),
            (Some(Stale), &heard, Active, Some("active")),
            (Some(Stale), &agent, Gone, Some("gone")),
            (Some(Gone), &other, Active, Some("registered")),
            (Some(Gone), &agent, Gone, None),
        ] {
            let before = before.map(|status| (agent.clone(), status));
            assert_eq!(event(before.as_ref(), now, status), told, "{before:?} {status:?}");
        }
    }
}
