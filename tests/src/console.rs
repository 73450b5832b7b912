//! The examples in documents, executed: in a fenced `console` block a line after `$ ` is a command (`> ` continues it), and the lines below
//! are what it prints, stdout and stderr together, as a user sees them. `...` alone stands for any lines, `[..]` for anything in a line.
//!
//! A document's examples run in one shell, one after the other, in a directory and a store of their own. Each must end with
//! status 0; one that is meant to show another shows it: `; echo $?`. (The trycmd crate knows no shell, and pipes are our point.)
//!
//! They have a tmux of their own, and stand-ins for `claude` and `codex`, which print what they are told. Who types is slower than a program
//! that starts, or that prints what was typed: so is this.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// All examples of a document together may take so long.
const TIME_MAX: Duration = Duration::from_secs(60);

/// One command and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// Where it stands in the document, counted from 1.
    pub line: usize,
    /// What is typed.
    pub command: String,
    /// What is printed, with wildcards.
    pub expected: String,
}

/// The examples of a document, in their order.
pub fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_console = false;
    for (at, line) in markdown.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            is_console = language == "console";
        } else if is_console {
            if let Some(command) = line.strip_prefix("$ ") {
                examples.push(Example { line: at + 1, command: command.to_string(), expected: String::new() });
            } else if let Some(example) = examples.last_mut() {
                match line.strip_prefix("> ") {
                    Some(more) if example.expected.is_empty() => {
                        example.command.push('\n');
                        example.command.push_str(more);
                    }
                    _ => {
                        example.expected.push_str(line);
                        example.expected.push('\n');
                    }
                }
            }
        }
    }
    examples
}

/// Runs a document's examples with the programs in `programs` before all others, and answers what was not as it says: a text for each.
///
/// # Errors
/// When the shell or its directory cannot be had.
pub fn failures(examples: &[Example], programs: &Path) -> io::Result<Vec<String>> {
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("project");
    fs::create_dir(&home)?;
    let mut script = String::from(SLOW);
    for (n, example) in examples.iter().enumerate() {
        let before = if example.command.contains("tmux capture-pane") { "shown\n" } else { "" };
        let after = if example.command.contains("tmux new-session") { "started\n" } else { "" };
        script += &format!("{before}{{ {}\n}} >\"$OUT/{n}.out\" 2>&1\necho $? >\"$OUT/{n}.status\"\n{after}", example.command);
    }
    let stand_ins = stand_ins(dir.path())?;
    fs::write(dir.path().join("script"), script)?;
    let mut path = OsString::from(programs);
    path.push(":");
    path.push(stand_ins);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh")
        .arg(dir.path().join("script"))
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("shell"))?)
        .env_remove("SWARM_AGENT")
        .env_remove("TMUX")
        .env_remove("TMUX_PANE")
        .env("TMUX_TMPDIR", dir.path())
        // Like most users' it makes way for the one program that it is to run. (dash stays, and then the pane runs a shell.)
        .env("SHELL", on_path("bash").ok_or_else(|| io::Error::other("no bash"))?)
        .env("SWARM_STORE", home.join(".swarm"))
        .env("HOME", &home)
        .env("OUT", dir.path())
        .env("PATH", path)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        // So that what an example left running can be ended with it.
        .process_group(0)
        .spawn()?;
    let group = nix::unistd::Pid::from_raw(i32::try_from(shell.id()).map_err(io::Error::other)?);
    let deadline = Instant::now() + TIME_MAX;
    let is_late = loop {
        match shell.try_wait()? {
            Some(_) => break false,
            None if Instant::now() > deadline => break true,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    // Nothing left to end is fine.
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    shell.wait()?;
    end_tmux(dir.path());

    let mut failures = Vec::new();
    for (n, example) in examples.iter().enumerate() {
        let printed = fs::read(dir.path().join(format!("{n}.out"))).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let status = fs::read_to_string(dir.path().join(format!("{n}.status"))).unwrap_or_default();
        let what = match status.trim() {
            "" if is_late => format!("does not end within {} s", TIME_MAX.as_secs()),
            "" => format!("was not run: {}", fs::read_to_string(dir.path().join("shell")).unwrap_or_default()),
            "0" if matches(&example.expected, &printed) => continue,
            "0" => String::from("prints something else"),
            status => format!("ends with status {status}"),
        };
        let Example { line, command, expected } = example;
        failures.push(format!("line {line}: $ {command}\n{what}\n--- as written\n{expected}--- as printed\n{printed}"));
    }
    Ok(failures)
}

/// Waits until the programs in all panes have begun; until what they show changes no more.
const SLOW: &str = r#"
started() { while tmux list-panes -a -F '#{pane_current_command}' | grep -qx sh; do sleep 0.02; done; }
screens() { for pane in $(tmux list-panes -a -F '#{pane_id}'); do tmux capture-pane -p -t $pane; done; }
shown() { now=$(screens); was=; until [ "x$was" = "x$now" ]; do was=$now; sleep 0.2; now=$(screens); done; }
"#;

/// Agent CLIs that print what they are told, in a directory for the path. They are awk under another name.
fn stand_ins(dir: &Path) -> io::Result<PathBuf> {
    let (bin, real) = (dir.join("bin"), dir.join("real"));
    let awk = on_path("awk").ok_or_else(|| io::Error::other("no awk"))?;
    for dir in [&bin, &real] {
        fs::create_dir(dir)?;
    }
    for name in ["claude", "codex"] {
        symlink(&awk, real.join(name))?;
        let script = format!("#!/bin/sh\nstty -echo\nexec '{}' '{{ print; fflush() }}'\n", real.join(name).display());
        fs::write(bin.join(name), script)?;
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755))?;
    }
    Ok(bin)
}

/// Where a program is, behind all links.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find_map(|dir| fs::canonicalize(dir.join(name)).ok())
}

/// Ends the tmux servers whose sockets are below this directory.
fn end_tmux(dir: &Path) {
    let sockets = fs::read_dir(dir.join(format!("tmux-{}", nix::unistd::getuid())));
    for socket in sockets.into_iter().flatten().flatten() {
        // One that has ended by itself is fine.
        let _ = Command::new("tmux").arg("-S").arg(socket.path()).arg("kill-server").stderr(Stdio::null()).status();
    }
}

/// Whether this was printed, by the rules above. Empty lines at the end do not count.
pub fn matches(expected: &str, printed: &str) -> bool {
    let expected: Vec<&str> = expected.trim_end().lines().collect();
    let printed: Vec<&str> = printed.trim_end().lines().collect();
    lines_match(&expected, &printed)
}

fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((&"...", rest)) => (0..=printed.len()).any(|skip| lines_match(rest, &printed[skip..])),
        Some((first, rest)) => {
            let is_first = |line: &&str| line_matches(first, line);
            printed.split_first().is_some_and(|(line, printed)| is_first(line) && lines_match(rest, printed))
        }
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == printed,
        Some((before, after)) => printed
            .strip_prefix(before)
            .is_some_and(|rest| rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_matches(after, &rest[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_what_they_say_and_no_more() {
        for (expected, printed, is_match) in [
            ("a\n", "a", true),
            ("a\n", "a\nb\n", false),
            ("...\n", "", true),
            ("a\n...\nc\n", "a\nb\nb\nc\n", true),
            ("a\n...\nc\n", "a\nb\n", false),
            ("{\"seq\":[..],\"x\":1}", "{\"seq\":12,\"x\":1}", true),
            ("[..]b[..]", "abc", true),
            ("[..]b", "abc", false),
            ("[..]", "a\nb", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(expected, printed), is_match, "{expected:?} {printed:?}");
        }
    }

    #[test]
    fn only_console_blocks_are_examples() {
        let text = "$ no\n```sh\n$ no\n```\n```console\n$ a |\n> b\n1\n2\n$ c\n```\n$ no\n";
        let example = |line, command: &str, expected: &str| Example { line, command: command.into(), expected: expected.into() };
        assert_eq!(examples(text), [example(6, "a |\nb", "1\n2\n"), example(10, "c", "")]);
    }
}
