//! Leases where the disk is full, files may not grow, or nothing may be written: nothing is granted by halves, and it is told.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::shell;

/// Runs lines of the shell in a directory, with the store in it, as an agent that takes no notice of who is logged in here.
fn lines(dir: &Path, lines: &str) -> Output {
    shell(dir, lines).env("SWARM_AGENT", "me").output().unwrap()
}

/// The same where mounts are its own and end with it. None where the system does not let one (it may be forbidden in a container).
fn with_mounts(dir: &Path, lines: &str) -> Option<Output> {
    // Root of its own in a namespace of its own: no right is needed that a user has not.
    let may = |args: &[&str]| Command::new("unshare").args(args).arg("true").output().is_ok_and(|output| output.status.success());
    let args = [&["--mount", "--map-root-user"][..], &["--mount"]].into_iter().find(|args| may(args))?;
    let inner = shell(dir, lines);
    let mut command = Command::new("unshare");
    command.args(args).arg(inner.get_program()).args(inner.get_args()).current_dir(dir).env("SWARM_AGENT", "me");
    for (name, value) in inner.get_envs().filter(|(name, _)| *name != "SWARM_AGENT") {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command.output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_grant_that_the_disk_has_no_room_for_is_not_made_and_is_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    // The disk is filled to the last block, after a first grant that has to outlive it.
    let output = with_mounts(
        dir.path(),
        "mount -t tmpfs -o size=256k,mode=700 tmpfs store || { echo SKIPPED; exit 0; }
         swarm-lock acquire z/1 >/dev/null || exit 10
         dd if=/dev/zero of=store/full bs=1k 2>/dev/null
         swarm-lock acquire a/x b/x c/x; echo status $?
         ls -d store/locks/staged 2>/dev/null && exit 11
         echo held; swarm-lock list | sed 's/.*\"paths\":\\([^]]*.\\).*/\\1/'
         SWARM_AGENT=other swarm-lock who a/x b/x c/x; echo who $?
         size=$(stat -c %s store/full)
         # Page by page there is more room, so that each of the writes is once the one that fails.
         for pages in 1 2 3 4 5 6 7 8 9 10; do
             truncate -s $((size - 4096 * pages)) store/full
             swarm-lock acquire a/x b/x c/x >/dev/null; status=$?
             free=$(SWARM_AGENT=other swarm-lock who a/x b/x c/x | wc -l)
             case $status,$free in
                 0,3) swarm-lock release a/x b/x c/x >/dev/null || echo cannot release ;;
                 3,0) ;;
                 *) echo $pages pages: status $status, $free of 3 are held ;;
             esac
         done
         echo at last $status; rm store/full
         echo again; swarm-lock acquire a/x b/x c/x | sed 's/.*\"paths\":\\([^]]*.\\).*/\\1/'
         SWARM_AGENT=other swarm-lock who a/x >/dev/null; echo who $?",
    );
    let Some(output) = output.filter(|output| text(&output.stdout) != "SKIPPED\n") else {
        println!("SKIPPED: no mount of one's own here; the test of files that may not grow is near to it");
        return;
    };
    let words = text(&output.stderr);
    assert_eq!(text(&output.stdout), "status 3\nheld\n[\"z/1\"]\nwho 0\nat last 0\nagain\n[\"a/x\",\"b/x\",\"c/x\"]\nwho 1\n", "{words}");
    assert!(words.contains("No space left") && words.contains("make room"), "{words}");
}

#[test]
fn a_grant_whose_files_may_not_grow_is_told_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    // The first file of the change can be written, the second is too long.
    let many: Vec<String> = (0..300).map(|number| format!("z/a-name-of-some-length-{number}")).collect();
    fs::write(dir.path().join("names"), many.join("\n")).unwrap();
    let output = lines(
        dir.path(),
        "(ulimit -f 4; (echo a/x; cat names) | swarm-lock acquire -); echo status $?
         swarm-lock list; echo list $?
         (echo a/x; cat names) | swarm-lock acquire - | wc -l
         SWARM_AGENT=other swarm-lock who a/x >/dev/null; echo who $?
         SWARM_AGENT=other swarm-lock who z/a-name-of-some-length-299 >/dev/null; echo who $?",
    );
    let words = text(&output.stderr);
    assert_eq!(text(&output.stdout), "status 3\nlist 1\n1\nwho 1\nwho 1\n", "{words}");
    assert!(words.contains("File too large"), "{words}");
}

#[test]
fn who_only_looks_needs_not_write_and_who_asks_is_told_that_he_cannot() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    let output = with_mounts(
        dir.path(),
        "swarm-lock acquire --ttl 1h a/x b/y >/dev/null || exit 10
         SWARM_AGENT=brief swarm-lock acquire --ttl 1ms c/z >/dev/null || exit 10
         mount --bind store store && mount -o remount,bind,ro store || { echo SKIPPED; exit 0; }
         touch store/x 2>/dev/null && exit 11
         swarm-lock list; echo list $?
         SWARM_AGENT=other swarm-lock who a/x >/dev/null; echo who $?
         SWARM_AGENT=other swarm-lock who c/z; echo who $?
         swarm-lock check --token 1 a/x; echo check $?
         swarm-lock check --token 2 c/z; echo check $?
         swarm-lock acquire d/z; echo acquire $?",
    );
    let Some(output) = output.filter(|output| text(&output.stdout) != "SKIPPED\n") else {
        println!("SKIPPED: no mount of one's own here");
        return;
    };
    let (said, words) = (text(&output.stdout), text(&output.stderr));
    let mut said = said.lines();
    let listed: Value = serde_json::from_str(said.next().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {words}"));
    assert_eq!(listed["paths"], serde_json::json!(["a/x", "b/y"]));
    let expected = [
        "list 0",
        "who 1",
        "who 0",
        "{\"valid\":true,\"token\":1}",
        "check 0",
        "{\"valid\":false,\"token\":2,\"path\":\"c/z\",\"why\":\"expired\"}",
        "check 1",
        "acquire 3",
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected, "{words}");
    assert!(words.contains("Read-only file system"), "{words}");
}
