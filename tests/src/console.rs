//! The examples in documents, executed: in a fenced `console` block a line after `$ ` is a command (`> ` continues it), and the lines below
//! are what it prints, stdout and stderr together, as a user sees them. `...` alone stands for any lines, `[..]` for anything in a line.
//!
//! A document's examples run in one shell, one after the other, in a directory and a store of their own. Each must end with
//! status 0; one that is meant to show another shows it: `; echo $?`. (The trycmd crate knows no shell, and pipes are our point.)

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
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
    let mut script = String::new();
    for (n, example) in examples.iter().enumerate() {
        script += &format!("{{ {}\n}} >\"$OUT/{n}.out\" 2>&1\necho $? >\"$OUT/{n}.status\"\n", example.command);
    }
    fs::write(dir.path().join("script"), script)?;
    let mut path = OsString::from(programs);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh")
        .arg(dir.path().join("script"))
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("shell"))?)
        .env_remove("SWARM_AGENT")
        .env_remove("TMUX_PANE")
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
