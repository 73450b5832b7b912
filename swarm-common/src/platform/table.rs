//! The processes there are, and whose children they are: one look at all of them, which is old as soon as it was taken.

use std::ffi::OsString;
use std::io;

use super::Process;
use super::system;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its pid.
    pub pid: u32,
    /// Its parent's; 0 for one whose parent is outside of the pid namespace.
    pub parent: u32,
    /// When it began, as in [`Process::start`].
    pub start: String,
    /// What the system calls it: the file it runs, cut off after 15 bytes, or what it called itself since.
    pub name: OsString,
    /// It has a terminal, and another group of processes has that in front: it would be stopped if it read from it.
    pub is_background: bool,
    /// Its command line, where that came with the rest.
    pub(super) arguments: Option<Vec<OsString>>,
}

/// The processes of a moment. Where the system hides those of other users, they are missing.
#[derive(Clone, Debug)]
pub struct Processes {
    /// By pid.
    rows: Vec<Row>,
    /// Parent and place in `rows`, sorted.
    children: Vec<(u32, usize)>,
    space: Option<String>,
}

impl Processes {
    /// Looks.
    ///
    /// # Errors
    /// When the system does not show its processes.
    pub fn look() -> io::Result<Processes> {
        Ok(Processes::of(system::processes()?, system::process_space()?))
    }

    fn of(mut rows: Vec<Row>, space: Option<String>) -> Processes {
        rows.sort_by_key(|row| row.pid);
        let mut children: Vec<(u32, usize)> = rows.iter().enumerate().map(|(at, row)| (row.parent, at)).collect();
        children.sort_unstable();
        Processes { rows, children, space }
    }

    /// The process that had this pid.
    pub fn get(&self, pid: u32) -> Option<&Row> {
        self.rows.binary_search_by_key(&pid, |row| row.pid).ok().map(|at| &self.rows[at])
    }

    /// Its children, by pid.
    pub fn children_of(&self, pid: u32) -> impl Iterator<Item = &Row> {
        let from = self.children.partition_point(|(parent, _)| *parent < pid);
        self.children[from..].iter().take_while(move |(parent, _)| *parent == pid).map(|(_, at)| &self.rows[*at])
    }

    /// Its parent, the parent's parent, and so on.
    pub fn ancestors(&self, pid: u32) -> impl Iterator<Item = &Row> {
        let next = |row: &Row| self.get(row.parent);
        // Each row is as it was at a moment of its own: a pid that was given again in between could close a circle.
        std::iter::successors(self.get(pid).and_then(next), move |row| next(row)).take(self.rows.len())
    }

    /// It and all below it, the nearest first: itself, its children, their children.
    pub fn tree(&self, pid: u32) -> Vec<&Row> {
        let mut tree: Vec<&Row> = self.get(pid).into_iter().collect();
        let mut at = 0;
        while let Some(row) = tree.get(at) {
            // The same circle.
            let room = self.rows.len() - tree.len();
            let children: Vec<&Row> = self.children_of(row.pid).filter(|child| child.pid != pid).take(room).collect();
            tree.extend(children);
            at += 1;
        }
        tree
    }

    /// Its command line by now; `None` when it has ended, or does not show it. Where the system tells but one line of text, the words are
    /// split at white space.
    pub fn arguments(&self, row: &Row) -> Option<Vec<OsString>> {
        if let Some(arguments) = &row.arguments {
            return Some(arguments.clone());
        }
        let arguments = system::arguments(row.pid).ok()?;
        // Looked at afterwards: the pid may have been given again.
        let start = system::process_start(row.pid).ok()??;
        (start == row.start).then_some(arguments)
    }

    /// The process, to be known again.
    pub fn process(&self, row: &Row) -> Process {
        Process { pid: row.pid, start: row.start.clone(), space: self.space.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Life;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A process that is killed and reaped when it is dropped.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn row(pid: u32, parent: u32) -> Row {
        Row { pid, parent, start: "1".into(), name: "x".into(), is_background: false, arguments: None }
    }

    fn pids<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<u32> {
        rows.into_iter().map(|row| row.pid).collect()
    }

    #[test]
    fn a_tree_is_walked_from_the_nearest_and_an_ancestor_is_found_from_below() {
        let table = Processes::of([(9, 4), (1, 0), (4, 1), (3, 1), (7, 3), (8, 4)].map(|(pid, parent)| row(pid, parent)).into(), None);
        assert_eq!(pids(table.tree(1)), [1, 3, 4, 7, 8, 9]);
        assert_eq!(pids(table.children_of(4)), [8, 9]);
        assert_eq!(pids(table.ancestors(7)), [3, 1]);
        assert!(table.tree(2).is_empty() && table.ancestors(2).next().is_none() && table.get(2).is_none());
    }

    #[test]
    fn a_circle_in_what_was_seen_ends() {
        let table = Processes::of([(1, 3), (2, 1), (3, 2), (4, 4)].map(|(pid, parent)| row(pid, parent)).into(), None);
        assert_eq!(pids(table.tree(1)), [1, 2, 3]);
        assert_eq!(pids(table.tree(4)), [4]);
        assert_eq!(table.ancestors(1).count(), 4);
    }

    #[test]
    fn a_shell_and_its_child_are_seen_with_their_arguments_and_gone_once_they_ended() {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "sleep 60 & echo $!; read -r line; kill $!; wait", "a title", "", "b"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut shell = Running(shell.spawn().expect("a shell"));
        let mut line = String::new();
        BufReader::new(shell.0.stdout.as_mut().expect("its output")).read_line(&mut line).expect("read");
        let child: u32 = line.trim().parse().expect("a pid");
        let table = Processes::look().expect("a look");
        assert!(pids(table.ancestors(shell.0.id())).contains(&std::process::id()));
        let row = table.get(shell.0.id()).expect("the shell");
        assert_eq!(row.parent, std::process::id());
        let arguments = table.arguments(row).expect("its arguments");
        assert_eq!(arguments[0], "sh");
        if cfg!(target_os = "linux") {
            assert_eq!(arguments[1..], ["-c", "sleep 60 & echo $!; read -r line; kill $!; wait", "a title", "", "b"]);
        }
        assert_eq!(table.process(row), Process::of(row.pid).expect("told").expect("alive"));
        assert_eq!(pids(table.tree(row.pid)), [row.pid, child]);
        assert_eq!(pids(table.ancestors(child)).first(), Some(&row.pid));
        // Its input ends, so it does.
        drop(shell.0.stdin.take());
        shell.0.wait().expect("ended");
        assert_eq!(table.arguments(row), None, "no other process is taken for it");
        assert_eq!(table.process(row).life(), Life::Gone);
        let table = Processes::look().expect("a look");
        assert!(table.get(shell.0.id()).is_none() && table.get(child).is_none());
    }

    #[test]
    fn one_that_has_ended_and_waits_to_be_reaped_is_none() {
        let mut ended = Running(Command::new("true").spawn().expect("a process"));
        let process = Process { pid: ended.0.id(), start: String::new(), space: None };
        let since = std::time::Instant::now();
        while Process::of(process.pid).expect("told").is_some() {
            assert!(since.elapsed().as_secs() < 20, "it ends");
            std::thread::yield_now();
        }
        assert!(Processes::look().expect("a look").get(process.pid).is_none());
        ended.0.wait().expect("reaped");
    }

    #[test]
    fn processes_that_come_and_go_meanwhile_are_no_error() {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = Command::new("true").status();
                }
            });
            let looks: Vec<_> = (0..50).map(|_| Processes::look().map(|table| table.get(std::process::id()).is_some())).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(looks.iter().all(|look| matches!(look, Ok(true))), "{looks:?}");
        });
    }
}
