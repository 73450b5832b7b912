//! What discovery makes of a pane: who it is already, who it becomes, or why it is nobody. Pure.

use swarm_common::identity;
use swarm_common::platform::Process;
use swarm_common::registry::{Agent, Pane};

/// Why a pane is nobody's.
pub mod why {
    /// Its process has ended, and the pane was kept.
    pub const DEAD: &str = "dead pane";
    /// Nothing in it is an agent CLI.
    pub const NO_AGENT: &str = "no agent";
    /// The agent CLI in it was stopped or sent to the background.
    pub const BACKGROUND: &str = "background";
    /// Its process is not among those that are shown here.
    pub const UNSEEN: &str = "its process is not seen here";
    /// The server's pids are those of another pid namespace: a container's, or the machine's.
    pub const NAMESPACE: &str = "another pid namespace";
}

/// What becomes of a pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: this is why.
    Leave(&'static str),
    /// It is this agent's, which lives.
    Keep(String),
    /// It was this agent's, which has ended; another process has taken its place.
    Update(String),
    /// It is a new agent, under an id that is free.
    Register(String),
}

impl Action {
    /// As it is written.
    pub fn word(&self) -> &'static str {
        match self {
            Action::Leave(_) => "none",
            Action::Keep(_) => "keep",
            Action::Update(_) => "update",
            Action::Register(_) => "register",
        }
    }

    /// The agent's id.
    pub fn agent_id(&self) -> Option<&str> {
        match self {
            Action::Leave(_) => None,
            Action::Keep(id) | Action::Update(id) | Action::Register(id) => Some(id),
        }
    }
}

/// What is known of a registered agent.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its record.
    pub agent: Agent,
    /// It has ended.
    pub is_gone: bool,
    /// It has ended, and its pane is there yet: started again in it, it is the same agent.
    pub may_return: bool,
}

/// What becomes of panes in which these agent CLIs run, in their order. New ids are the lowest that are free; the id of an agent who is gone is, so
/// after a restart of everything the same number of agents has the same ids.
pub fn plan(found: &[(&Pane, &Process)], known: &[Known]) -> Vec<Action> {
    let mut taken: Vec<&str> =
        known.iter().filter(|known| !known.is_gone || known.may_return).map(|known| known.agent.agent_id.as_str()).collect();
    // Those first who have an id: it shall not be given to another.
    let old: Vec<Option<Action>> = found.iter().map(|(pane, process)| registered(pane, process, known)).collect();
    taken.extend(old.iter().flatten().filter_map(Action::agent_id));
    let mut free = (0u64..).map(|n| format!("agent-{n}")).filter(|id| !taken.iter().any(|taken| identity::is_same(taken, id)));
    old.iter().map(|old| old.clone().unwrap_or_else(|| Action::Register(free.next().unwrap_or_default()))).collect()
}

/// Who it is already.
fn registered(pane: &Pane, process: &Process, known: &[Known]) -> Option<Action> {
    let is_here = |known: &&Known| known.agent.pane.as_ref().is_some_and(|known| known.is_same(pane));
    // Registered by its process alone, it said nothing of its pane.
    let is_it = |known: &&Known| known.agent.process.as_ref() == Some(process);
    if let Some(living) = known.iter().filter(|known| !known.is_gone).find(|known| is_here(known) || is_it(known)) {
        return Some(Action::Keep(living.agent.agent_id.clone()));
    }
    // Several may have come and gone in one pane.
    let last = known.iter().filter(|known| known.is_gone).filter(is_here).max_by_key(|known| known.agent.seen_at)?;
    Some(Action::Update(last.agent.agent_id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use swarm_common::registry::Server;

    fn pane(number: u32) -> Pane {
        let server = Server { socket: "/tmp/s".into(), pid: 7, start: "1".into(), space: None };
        Pane { id: format!("%{number}"), server, pid: 100 + number }
    }

    fn process(number: u32) -> Process {
        Process { pid: 200 + number, start: "1".into(), space: None }
    }

    fn known(id: &str, pane: Option<Pane>, process: Option<Process>, life: &str) -> Known {
        let agent = Agent { pane, process, ..Agent::new(id, Timestamp::UNIX_EPOCH) };
        Known { agent, is_gone: life != "alive", may_return: life == "away" }
    }

    fn planned(numbers: &[u32], known: &[Known]) -> Vec<String> {
        let found: Vec<(Pane, Process)> = numbers.iter().map(|number| (pane(*number), process(*number))).collect();
        let found: Vec<(&Pane, &Process)> = found.iter().map(|(pane, process)| (pane, process)).collect();
        plan(&found, known).iter().map(|action| format!("{} {}", action.word(), action.agent_id().unwrap_or("-"))).collect()
    }

    #[test]
    fn new_ones_get_the_lowest_free_ids_in_the_order_of_their_panes() {
        assert_eq!(planned(&[4, 2], &[]), ["register agent-0", "register agent-1"]);
        let others = [known("AGENT-1", None, None, "alive"), known("bob", None, None, "alive"), known("agent-3", None, None, "gone")];
        assert_eq!(planned(&[1, 2, 3], &others), ["register agent-0", "register agent-2", "register agent-3"]);
    }

    #[test]
    fn who_lives_in_a_pane_stays_and_who_was_started_again_in_it_keeps_the_id() {
        let agents = [
            known("ann", Some(pane(1)), Some(process(9)), "alive"),
            known("bob", None, Some(process(2)), "alive"),
            known("agent-0", Some(pane(3)), Some(process(8)), "gone"),
        ];
        assert_eq!(planned(&[4, 1, 2, 3], &agents), ["register agent-1", "keep ann", "keep bob", "update agent-0"]);
        // The last of several; and not while somebody lives there.
        let mut later = known("eve", Some(pane(3)), None, "gone");
        later.agent.seen_at = Timestamp::from_second(9).unwrap();
        let agents = [agents[2].clone(), later, known("cat", Some(pane(5)), None, "gone"), known("dan", Some(pane(5)), None, "alive")];
        assert_eq!(planned(&[3, 5], &agents), ["update eve", "keep dan"]);
    }

    #[test]
    fn the_id_of_one_whose_pane_waits_for_it_is_not_given_away() {
        let agents = [known("agent-0", Some(pane(1)), None, "away"), known("agent-1", Some(pane(2)), None, "gone")];
        assert_eq!(planned(&[3], &agents), ["register agent-1"]);
    }

    #[test]
    fn a_pane_of_the_same_id_on_another_server_is_another() {
        let mut other = pane(1);
        other.server.start = "2".into();
        assert_eq!(planned(&[1], &[known("ann", Some(other), None, "alive")]), ["register agent-0"]);
    }
}
