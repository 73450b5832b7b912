//! A sweep removes what has ended, and nothing that the rest needs to be found.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use swarm_lock::lease::Mode;
use swarm_lock::leases::{Acquired, Leases, Manner, Request};
use swarm_lock::pattern::Pattern;
use swarm_lock::table::Table;

fn acquire(leases: &Leases, agent_id: &str, path: &str) -> bool {
    let request = Request {
        agent_id: agent_id.into(),
        mode: Mode::Exclusive,
        patterns: vec![Pattern::literal(path).unwrap()],
        ttl: Duration::from_secs(300),
        reason: String::new(),
        tie: None,
        keeper: None,
    };
    let acquired = leases.acquire(&request, Manner::Once, &mut Vec::new(), &mut |_| ()).unwrap();
    matches!(acquired, Acquired::Granted { .. })
}

/// What a user saw: after a sweep a path that was held was granted to another as well. The root's file had gone, for its name has a '+', and so
/// it was taken for as deep as those of the directories in it; and where a file is missing, nobody looks below it.
#[test]
fn what_is_held_is_still_held_after_a_sweep() {
    let long = ["long-name-of-a-directory"; 12].join("/");
    for paths in [vec!["a/x", "d/x"], vec!["a/b/c/x"], vec!["x"], vec![&format!("{long}/x"), &format!("{long}/e/f/x")]] {
        let dir = tempfile::tempdir().unwrap();
        let leases = Leases::new(Table::at(dir.path().join("locks")), None);
        assert!(paths.iter().all(|path| acquire(&leases, "one", path)));
        // The directories above have files without a lease.
        let (last, others) = paths.split_last().unwrap();
        for path in others {
            let which = swarm_lock::leases::Which::Token(1);
            leases.release("one", &which, None, &mut Vec::new(), &mut |_| ()).unwrap();
            assert!(acquire(&leases, "two", path), "{path} was given back");
            leases.release("two", &swarm_lock::leases::Which::All, None, &mut Vec::new(), &mut |_| ()).unwrap();
        }
        leases.sweep(false, &mut |_| ()).unwrap();
        assert!(!acquire(&leases, "two", last), "{last} has two holders");
    }
}
