//! The machine: the disk that the store is on, its clocks, its processes, what it tells of changes.

use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use swarm_common::exit;
use swarm_common::journal::SEGMENT_BYTES;
use swarm_common::platform::{self, Process, Processes, Watch};

use super::finding::Finding;

/// With less a journal has no room for its next segments.
const FREE_BYTES_NOTED: u64 = 10 * SEGMENT_BYTES;

/// Looks; `dir` is the store, or where it will be.
pub fn look(dir: &Path) -> Vec<Finding> {
    vec![disk(dir), space(dir), watching(dir), boottime(), processes()]
}

fn disk(dir: &Path) -> Finding {
    match platform::file_system(dir) {
        Err(error) => Finding::wrong("disk", format!("{}: its file system is not told: {}", dir.display(), exit::reason(&error)), ""),
        Ok(system) => {
            let words = format!("the store is on {}", system.name);
            let finding = if system.is_shared {
                Finding::note(
                    "disk",
                    words + ", which other machines may share",
                    "use it from one machine alone: its locks may not reach the others, its pids and clocks mean nothing there\nand changes are looked for every 100 ms",
                )
            } else {
                Finding::good("disk", words)
            };
            finding.with("file_system", system.name).with("shared", system.is_shared)
        }
    }
}

fn space(dir: &Path) -> Finding {
    let stat = match statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => return Finding::wrong("space", format!("{}: its free space is not told: {}", dir.display(), error.desc()), ""),
    };
    // Of different widths on different systems.
    #[allow(clippy::unnecessary_cast, reason = "not on every system")]
    let (blocks, block_bytes, files, files_free) =
        (stat.blocks_available() as u64, stat.fragment_size() as u64, stat.files() as u64, stat.files_available() as u64);
    let free = blocks.saturating_mul(block_bytes);
    free_space(free, (files > 0).then_some(files_free))
}

/// `files_free`: `None` where the file system has no such limit.
fn free_space(free: u64, files_free: Option<u64>) -> Finding {
    let mib = free / (1024 * 1024);
    let make_room = "make room, or keep less: keep_bytes and keep_age in [journal] of config.toml";
    let finding = match files_free {
        Some(0) => Finding::wrong("space", "no more files can be made on the store's disk: it is out of inodes", "remove files"),
        _ if free < SEGMENT_BYTES => Finding::wrong("space", format!("{mib} MiB are free on the store's disk"), make_room),
        _ if free < FREE_BYTES_NOTED => Finding::note("space", format!("{mib} MiB are free on the store's disk"), make_room),
        _ => Finding::good("space", format!("{mib} MiB are free")),
    };
    finding.with("free_bytes", free)
}

/// How followers are woken.
fn watching(dir: &Path) -> Finding {
    let watch = Watch::new(&[dir]);
    let finding = match watch.polling() {
        None => Finding::good("watching", "changes are told at once"),
        Some(why) => {
            let is_full = why.contains("Too many open files") || why.contains("No space left");
            let hint =
                if is_full { "allow more:  sysctl fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=65536" } else { "" };
            Finding::note("watching", format!("changes are looked for every 100 ms: {why}"), hint)
        }
    };
    let finding = finding.with("polling", watch.polling().is_some());
    match platform::watch_limits() {
        None => finding,
        Some((watches, instances)) => finding.with("max_user_watches", watches).with("max_user_instances", instances),
    }
}

fn boottime() -> Finding {
    let (first, boot) = (platform::boottime(), platform::boot_id());
    match boot {
        _ if first == Duration::ZERO => Finding::wrong("boot", "the time since the boot is not told", "leases cannot end by their time"),
        Err(error) => Finding::wrong("boot", format!("the boot's id is not told: {}", exit::reason(&error)), "a restart cannot be noticed"),
        Ok(id) => Finding::good("boot", format!("{} since the boot", span(first)))
            .with("boot_id", id)
            .with("boottime_ms", first.as_millis() as u64),
    }
}

fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    format!("{}h{:02}m", minutes / 60, minutes % 60)
}

fn processes() -> Finding {
    let seen = Process::own().and_then(|own| Ok((own, Processes::look()?)));
    match seen {
        Err(error) => Finding::wrong(
            "processes",
            format!("they cannot be looked at: {}", exit::reason(&error)),
            "whether an agent lives is not known then; it is heard of by swarm-agents beat\na sandbox may lack /proc",
        ),
        // The first one is always there, and another user's.
        Ok((_, all)) if all.get(1).is_none() => {
            Finding::note("processes", "those of other users are hidden (hidepid)", "agents of other users are not discovered")
                .with("hidden", true)
        }
        Ok((own, _)) => {
            Finding::good("processes", "each is seen").with("hidden", false).with("pid_namespace", own.space.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_disk_is_judged_by_the_room_for_segments() {
        let mib = 1024 * 1024;
        for (free, files, state) in [
            (0, Some(9), State::Wrong),
            (9 * mib, Some(9), State::Wrong),
            (50 * mib, None, State::Note),
            (1_000 * mib, Some(9), State::Good),
            (1_000 * mib, None, State::Good),
            (1_000 * mib, Some(0), State::Wrong),
        ] {
            assert_eq!(free_space(free, files).state, state, "{free} {files:?}");
        }
    }

    #[test]
    fn this_machine_is_well() {
        let dir = tempfile::tempdir().unwrap();
        for finding in look(dir.path()) {
            assert!(finding.state != State::Wrong || finding.check == "space", "{finding:?}");
        }
    }
}
