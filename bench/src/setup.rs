//! Where a bench finds what it needs: the tools, the rivals, the data, a place to work. And what machine this is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::data::{self, Form};
use crate::process::{Outcome, fresh};

/// The rivals whose versions are kept with the figures.
const RIVALS: [&str; 6] = ["rg", "jq", "jaq", "flock", "tail", "cat"];
const TOOLS: [&str; 6] = ["swarm-send", "swarm-tail", "swarm-filter", "swarm-ratelimit", "swarm-lock", "swarm-agents"];

pub struct Setup {
    /// Small sizes, few rounds: shows that a bench works, measures nothing worth keeping.
    pub is_quick: bool,
    /// The tools as they are installed.
    pub bin: PathBuf,
    /// The directory `bench`.
    pub home: PathBuf,
    /// A real directory on a disk, for what is synced; emptied at the start and removed at the end.
    pub work: PathBuf,
}

impl Setup {
    pub fn new(bin: PathBuf, home: PathBuf, is_quick: bool) -> Outcome<Setup> {
        let work = home.join("data/work");
        fresh(&work)?;
        Ok(Setup { is_quick, bin, home, work })
    }

    /// A number for the real measurement, or a small one.
    pub fn size(&self, full: usize, quick: usize) -> usize {
        if self.is_quick { quick } else { full }
    }

    /// One of our tools.
    pub fn tool(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.bin.join(name);
        if path.is_file() { Ok(path) } else { Err(format!("{} is not built", path.display()).into()) }
    }

    /// A rival: ours to install, or the system's.
    pub fn rival(&self, name: &str) -> Option<PathBuf> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(self.home.join("tools/bin"))
            .chain(std::env::split_paths(&paths))
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    }

    /// A rival without which there is nothing to compare.
    pub fn needed(&self, name: &str) -> Outcome<PathBuf> {
        self.rival(name).ok_or_else(|| format!("{name} is not installed").into())
    }

    pub fn data(&self, form: Form, count: usize) -> Outcome<PathBuf> {
        data::file(&self.home.join("data"), form, count)
    }

    /// What the figures depend on. No host name, no path.
    pub fn machine(&self, built_for: &str) -> Value {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_string())
        };
        let versions: serde_json::Map<String, Value> = TOOLS
            .iter()
            .filter_map(|name| self.tool(name).ok())
            .chain(RIVALS.iter().filter_map(|name| self.rival(name)))
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some((name, json!(first_line(Command::new(&path).arg("--version"))?)))
            })
            .chain(self.rival("tmux").and_then(|path| Some(("tmux".to_string(), json!(first_line(Command::new(path).arg("-V"))?)))))
            .collect();
        let git = |args: &[&str]| first_line(Command::new("git").arg("-C").arg(&self.home).args(args));
        json!({
            "kind": "machine",
            "date": first_line(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
            "commit": git(&["describe", "--always", "--dirty"]),
            "built_for": built_for,
            "compiler": first_line(Command::new("rustc").arg("--version")),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "cpu": field(&read("/proc/cpuinfo"), "model name"),
            "memory": field(&read("/proc/meminfo"), "MemTotal"),
            "kernel": read("/proc/sys/kernel/osrelease").trim(),
            "filesystem": first_line(Command::new("stat").args(["-f", "-c", "%T"]).arg(&self.work)),
            "busy_percent": busy_percent(),
            "versions": versions,
        })
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // What can't be removed now is emptied at the next start.
        let _ = std::fs::remove_dir_all(&self.work);
    }
}

/// The share of the cores' time that others take now, while this program sleeps, in percent. Not the load average: that still
/// remembers the compiler that built the tools a moment ago.
fn busy_percent() -> Option<f64> {
    // user, nice, system, idle, iowait, irq, softirq, steal, ... in ticks.
    let ticks = || -> Option<(f64, f64)> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let fields: Vec<f64> = text.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
        Some((fields.iter().sum(), fields.get(3)? + fields.get(4)?))
    };
    let (all, idle) = ticks()?;
    std::thread::sleep(Duration::from_secs(1));
    let (all_later, idle_later) = ticks()?;
    Some((100.0 * (1.0 - (idle_later - idle) / (all_later - all))).round())
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(|line| line.trim().to_string())
}

/// A path's last part, for messages that are kept.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}
