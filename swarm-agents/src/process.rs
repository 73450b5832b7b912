//! The process that is an agent: found from its pane, downwards, or from a program that it runs, upwards. Both ways lead to the same one.

use swarm_common::platform::{Process, Processes, Row};

use crate::program;

/// An agent CLI that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its process.
    pub process: Process,
    /// Which CLI it is.
    pub kind: String,
    /// Something else is in front of its terminal: it was stopped, or somebody sent it to the background.
    pub is_background: bool,
}

/// The agent CLI in the tree of a pane's process: the one nearest to the pane. What an agent starts is its own business, also where that is
/// another agent CLI, and a script that runs the program proper lives as long as that. One in front comes before one in the background.
pub fn below(processes: &Processes, pid: u32, names: &[String]) -> Option<Running> {
    let mut found: Option<Running> = None;
    for row in processes.tree(pid) {
        match running(processes, row, names) {
            Some(running) if !running.is_background => return Some(running),
            running => found = found.or(running),
        }
    }
    found
}

/// The agent CLI that a process comes from, which may be itself; of several of one kind, the one farthest up: its script. Of another kind above,
/// it is the business.
pub fn above(processes: &Processes, pid: u32, names: &[String]) -> Option<Running> {
    let rows = processes.get(pid).into_iter().chain(processes.ancestors(pid));
    let mut all = rows.filter_map(|row| running(processes, row, names));
    let nearest = all.next()?;
    Some(all.take_while(|running| running.kind == nearest.kind).last().unwrap_or(nearest))
}

fn running(processes: &Processes, row: &Row, names: &[String]) -> Option<Running> {
    // Without a command line its name may be enough.
    let arguments = processes.arguments(row).unwrap_or_default();
    let kind = program::kind(&row.name, &arguments, names)?.to_string();
    Some(Running { process: processes.process(row), kind, is_background: row.is_background })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    /// A process that ends with its input, and is reaped when it is dropped.
    struct Started(Child);

    impl Drop for Started {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            let _ = self.0.wait();
        }
    }

    /// Runs `sh SCRIPT`, and waits until it says that it is ready.
    fn start(script: &Path) -> Started {
        let mut shell = Command::new("sh");
        let mut started = Started(shell.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(started.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        started
    }

    fn names() -> Vec<String> {
        ["claude", "codex"].map(String::from).to_vec()
    }

    #[test]
    fn the_nearest_to_the_pane_is_the_agent_and_is_found_from_below_too() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        // As npm's codex does: a script that runs the program proper. And that runs another CLI.
        let pane = write("pane", &format!("sh {}/codex.js; true", dir.path().display()));
        write("codex.js", &format!("sh {}/codex; true", dir.path().display()));
        write("codex", &format!("sh {}/claude; true", dir.path().display()));
        write("claude", "echo ready; read -r line");
        let pane = start(&pane);
        let processes = Processes::look().unwrap();
        let tree: Vec<u32> = processes.tree(pane.0.id()).iter().map(|row| row.pid).collect();
        let [_, script, program, claude] = tree[..] else { panic!("{tree:?}") };
        let found = |running: Option<Running>| running.map(|running| (running.process.pid, running.kind));
        assert_eq!(found(below(&processes, pane.0.id(), &names())), Some((script, "codex".into())));
        assert_eq!(found(above(&processes, program, &names())), Some((script, "codex".into())));
        assert_eq!(found(above(&processes, claude, &names())), Some((claude, "claude".into())));
        assert_eq!(found(below(&processes, pane.0.id(), &["claude".into()])), Some((claude, "claude".into())));
        assert_eq!(found(above(&processes, pane.0.id(), &names())), None);
        assert_eq!(found(below(&processes, pane.0.id(), &[])), None);
    }
}
