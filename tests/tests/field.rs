//! The examples for use in the field, used: the git hook in real repositories, the Makefile by a real make.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use swarm_tests::docs::root;
use swarm_tests::programs;

/// A line of the shell in a directory, with the programs on its path and git as a fresh user has it.
fn sh(dir: &Path, line: &str) -> Output {
    let path = format!("{}:{}", programs::dir().display(), std::env::var("PATH").unwrap());
    as_user(Command::new("sh").args(["-c", line]), dir).env("PATH", path).output().unwrap()
}

fn as_user<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    for variable in ["SWARM_STORE", "SWARM_AGENT", "SWARM_LOCK_TOKEN", "TMUX_PANE", "MAKEFLAGS", "MAKELEVEL", "GIT_DIR", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")] {
        command.env(name, value);
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "me").env(format!("GIT_{who}_EMAIL"), "me@example.org");
    }
    command.current_dir(dir)
}

/// The line succeeds.
fn good(dir: &Path, line: &str) -> String {
    let output = sh(dir, line);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commit is refused; what is said.
fn refused(dir: &Path, line: &str) -> String {
    let before = good(dir, "git rev-list --all --count");
    let output = sh(dir, line);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    assert_eq!(good(dir, "git rev-list --all --count"), before, "{line}");
    said
}

/// What `who` answered in what was said.
fn answers(said: &str) -> Vec<(String, String)> {
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| (line["path"].as_str().unwrap().to_string(), line["agent_id"].as_str().unwrap().to_string())).collect()
}

/// A repository with some files and the hook in it.
fn repository(dir: &Path) -> PathBuf {
    let top = dir.join("tree");
    fs::create_dir(&top).unwrap();
    good(
        &top,
        "git init -q && mkdir src && for f in a b c 'd [1]' 'e\nf'; do echo \"$f\" >\"src/$f\"; done && git add . && git commit -qm first",
    );
    let hook = root().join("examples/pre-commit");
    good(&top, &format!("install -m 755 '{}' \"$(git rev-parse --git-path hooks)/pre-commit\"", hook.display()));
    top
}

#[test]
fn the_hook_refuses_what_another_holds_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let top = repository(dir.path());
    // Without a swarm nothing is held, and none is made.
    good(&top, "echo 1 >>src/a && git commit -qam none");
    assert!(!top.join(".swarm").exists());

    good(&top, "swarm-lock acquire --as ann 'src/[ab]' docs");
    let said = refused(&top, "echo 2 >>src/a && SWARM_AGENT=bob git commit -qam held");
    assert_eq!(answers(&said), [("src/a".to_string(), "ann".to_string())]);
    assert!(said.contains("--no-verify"), "{said}");
    // Without a name, every lease is in the way; its holder may commit it; and so may whoever knows better.
    refused(&top, "git commit -qam held");
    good(&top, "SWARM_AGENT=ann git commit -qam own");
    good(&top, "echo 3 >>src/a && SWARM_AGENT=bob git commit --no-verify -qam forced");

    // What is free goes on, also when something held was changed and is not staged; from a directory below too.
    good(&top, "echo 4 >>src/a && echo 4 >>src/c && cd src && SWARM_AGENT=bob git commit -qm free c && git checkout -q a");
    // Deleted, and renamed away or to it: the held name counts.
    for line in ["git rm -q src/b", "git mv src/b src/g", "git mv src/c docs", "mkdir docs && git mv src/c docs/c"] {
        let said = refused(&top, &format!("{line} && SWARM_AGENT=bob git commit -qm moved"));
        assert_eq!(answers(&said).len(), 1, "{line}: {said}");
        good(&top, "git reset -q --hard");
    }
}

#[test]
fn the_hook_takes_names_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let top = repository(dir.path());
    good(&top, "swarm-lock acquire --as ann --literal 'src/d [1]' 'src/e\nf'");
    for (name, path) in [("d [1]", "src/d [1]"), ("e\nf", "src/e\nf")] {
        let said = refused(&top, &format!("echo 1 >>'src/{name}' && SWARM_AGENT=bob git commit -qam held"));
        assert_eq!(answers(&said), [(path.to_string(), "ann".to_string())]);
        // Deleted it is no file that would make its name a literal one.
        let said = refused(&top, &format!("git rm -qf 'src/{name}' && SWARM_AGENT=bob git commit -qm held"));
        assert_eq!(answers(&said), [(path.to_string(), "ann".to_string())]);
        good(&top, "git reset -q --hard");
    }
    // A pattern that would match it is not asked for.
    good(&top, "echo 1 >'src/d *' && git add . && SWARM_AGENT=bob git commit -qm free");
    // More names than one call of a program takes.
    good(&top, "mkdir many && cd many && i=0 && while [ $i -lt 300 ]; do i=$((i + 1)); echo >$(printf '%0240d' $i); done && git add .");
    good(&top, "SWARM_AGENT=bob git commit -qm many && swarm-lock acquire --as ann many/*0300");
    refused(&top, "for f in many/*; do echo 1 >>$f; done && SWARM_AGENT=bob git commit -qam many");
}

#[test]
fn the_hook_stands_before_the_first_commit_in_a_linked_worktree_and_behind_core_hookspath() {
    let dir = tempfile::tempdir().unwrap();
    let top = repository(dir.path());
    good(&top, "swarm-lock acquire --as ann src/a");
    // One swarm, and one hook, for all worktrees; the same file in another one is meant too.
    good(&top, "git worktree add -q ../linked -b other");
    let linked = dir.path().join("linked");
    let said = refused(&linked, "echo 1 >>src/a && SWARM_AGENT=bob git commit -qam held");
    assert_eq!(answers(&said), [("src/a".to_string(), "ann".to_string())]);
    good(&linked, "git checkout -q . && echo 1 >>src/b && SWARM_AGENT=bob git commit -qam free");

    let fresh = dir.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    good(&fresh, "git init -q && mkdir hooks && git config core.hooksPath hooks && echo 1 >a && git add a");
    let hook = root().join("examples/pre-commit");
    good(&fresh, &format!("install -m 755 '{}' \"$(git rev-parse --git-path hooks)/pre-commit\"", hook.display()));
    assert!(fresh.join("hooks/pre-commit").metadata().unwrap().permissions().mode() & 0o111 != 0);
    good(&fresh, "swarm-lock acquire --as ann a");
    refused(&fresh, "SWARM_AGENT=bob git commit -qm first");
    good(&fresh, "SWARM_AGENT=ann git commit -qm first");
}

#[test]
fn the_hook_says_when_it_cannot_look() {
    let dir = tempfile::tempdir().unwrap();
    let top = repository(dir.path());
    good(&top, "swarm-lock acquire --as ann src/a");
    // A path without swarm-lock: git and what the hook needs, no more.
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["git", "sh", "xargs"] {
        let found = good(&top, &format!("command -v {name}"));
        symlink(found.trim(), bin.join(name)).unwrap();
    }
    let line = format!("echo 1 >>src/a && PATH='{}' SWARM_AGENT=bob git commit -qam blind", bin.display());
    let output = sh(&top, &line);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no swarm-lock in PATH"), "{output:?}");
    // A store that is not safe to use is no answer that all is free.
    good(&top, "chmod 777 .swarm");
    let said = refused(&top, "echo 2 >>src/c && SWARM_AGENT=bob git commit -qam unsafe");
    assert!(said.contains(".swarm"), "{said}");
    good(&top, "chmod 700 .swarm");
}

#[test]
fn the_makefile_goes_on_when_the_reviewer_has_acknowledged_and_fails_when_nobody_does() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path();
    good(top, "mkdir .swarm src docs && echo app >src/a && printf '[ack]\\nretry = [\"100ms\"]\\n' >.swarm/config.toml");
    let make = format!("make -f '{}' release", root().join("examples/Makefile").display());
    let output = sh(top, &make);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("\"status\":\"escalated\"") && !top.join("app.released").exists(),
        "{output:?}"
    );
    good(top, "printf '[ack]\\nretry = [\"1h\"]\\n' >.swarm/config.toml");
    let path = format!("{}:{}", programs::dir().display(), std::env::var("PATH").unwrap());
    let mut waiting = Command::new("sh");
    let mut waiting =
        as_user(waiting.args(["-c", &make]), top).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    support::until("it is asked", || good(top, "swarm-ack pending | jq -r .state").contains("waiting"));
    assert!(waiting.try_wait().unwrap().is_none());
    good(top, "swarm-tail --inbox --as reviewer | swarm-ack --as reviewer -");
    assert!(waiting.wait().unwrap().success());
    assert_eq!(fs::read_to_string(top.join("app.released")).unwrap(), "app\n");
}

#[test]
fn the_cron_line_and_the_systemd_unit_run_what_they_name() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path();
    good(top, "mkdir -p .swarm .local && printf '[ack]\\nretry = [\"1ms\", \"1h\"]\\nauto = false\\n' >.swarm/config.toml");
    good(top, &format!("ln -s '{}' .local/bin && swarm-send -q --as lead --to ann --ack --id m1 x", programs::dir().display()));
    let crontab = fs::read_to_string(root().join("examples/crontab")).unwrap();
    let line = crontab.lines().find(|line| !line.starts_with('#')).unwrap().replace("PROJECT", top.to_str().unwrap());
    // As cron runs it: five fields, and then what sh runs.
    let command = line.splitn(6, ' ').nth(5).unwrap();
    good(top, &format!("HOME='{}'; {command}", top.display()));
    assert!(good(top, "swarm-tail | swarm-filter --type retry").contains("\"reply_to\":\"m1\""));

    let unit = fs::read_to_string(root().join("examples/swarm-ack-watch.service")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let start = start.replace("%h", top.to_str().unwrap()).replace("%f", top.join(".swarm").to_str().unwrap());
    assert!(good(top, &format!("{start} | head -n 1")).contains("\"status\":\"watching\""));
    // Where systemd is, it has to be content with it.
    if Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let named = top.join("swarm-ack-watch@x.service");
        fs::write(&named, unit.replace("%h/.local/bin", programs::dir().to_str().unwrap())).unwrap();
        let output = Command::new("systemd-analyze").args(["verify", "--user"]).arg(&named).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("swarm-ack-watch"), "{said}");
    }
}

#[test]
fn the_makefile_builds_side_by_side_and_waits_for_who_holds_what_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path();
    good(top, "mkdir .swarm src docs && echo app >src/a && echo text >docs/a");
    let makefile = root().join("examples/Makefile");
    let make = format!("make -j4 -f '{}'", makefile.display());
    good(top, &make);
    assert_eq!(fs::read_to_string(top.join("build/app")).unwrap(), "app\n");
    assert_eq!(fs::read_to_string(top.join("build/docs")).unwrap(), "text\n");
    // Every target held what it wrote, as an agent of its own, and gave it back.
    let held = good(top, "swarm-tail | swarm-filter --type locked | jq -r '\"\\(.sender_id) \\(.data.paths[])\"' | sort");
    assert_eq!(held.lines().collect::<Vec<_>>(), ["make.app build/app", "make.check src", "make.docs build/docs"]);
    assert_eq!(sh(top, "swarm-lock list").status.code(), Some(1));

    // What another holds is waited for, and not for ever; what has nothing to do with it goes on.
    good(top, "swarm-lock acquire --as ann build/app && echo more >>src/a && echo more >>docs/a");
    let output = sh(top, &format!("{make} -k WAIT=100ms"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("build/app is held by ann"), "{output:?}");
    assert_eq!(fs::read_to_string(top.join("build/app")).unwrap(), "app\n");
    assert_eq!(fs::read_to_string(top.join("build/docs")).unwrap(), "text\nmore\n");
    let mut waiting = Command::new("sh");
    let path = format!("{}:{}", programs::dir().display(), std::env::var("PATH").unwrap());
    let mut waiting =
        as_user(waiting.args(["-c", &make]), top).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    support::until("make waits", || good(top, "swarm-lock list").contains("\"waiters\":1"));
    good(top, "swarm-lock release --as ann --all");
    assert!(waiting.wait().unwrap().success());
    assert_eq!(fs::read_to_string(top.join("build/app")).unwrap(), "app\nmore\n");
}
