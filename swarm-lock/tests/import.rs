//! `import` through the binary: the Python program's own files, made as old as a test wants them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use assert_cmd::cargo::cargo_bin;
use serde_json::{Value, json};

/// A project with a swarm and the old program's locks.
struct Project {
    root: tempfile::TempDir,
}

impl Project {
    fn new() -> Project {
        let root = tempfile::tempdir().unwrap();
        fs::DirBuilder::new().mode(0o700).create(root.path().join(".swarm")).unwrap();
        fs::create_dir(root.path().join(".agent_locks")).unwrap();
        Project { root }
    }

    /// With all the files that the old program wrote; `age` makes of their age, in seconds before the newest, the one they shall have.
    fn with_all(age: impl Fn(f64) -> f64) -> Project {
        // One moment for all of them, or a slow machine would change their order.
        let (project, now) = (Project::new(), now());
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/agent_locks")).unwrap() {
            let entry = entry.unwrap();
            let mut text = fs::read_to_string(entry.path()).unwrap();
            if let Some(start) = text.find("\"locked_at\": ") {
                let start = start + "\"locked_at\": ".len();
                let end = start + text[start..].find(',').unwrap();
                let at: f64 = text[start..end].parse().unwrap();
                text.replace_range(start..end, &format!("{}", now - age(1_795_461_522.312_820_2 - at)));
            }
            fs::write(project.locks().join(entry.file_name()), text).unwrap();
        }
        project
    }

    fn locks(&self) -> PathBuf {
        self.root.path().join(".agent_locks")
    }

    fn lock(&self, file: &str, agent_id: &str, path: &str, age: f64) {
        let lock = json!({"agent_id": agent_id, "filepath": path, "locked_at": now() - age, "reason": "why"});
        fs::write(self.locks().join(file), serde_json::to_string_pretty(&lock).unwrap()).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(cargo_bin("swarm-lock"));
        command.args(args).current_dir(self.root.path()).env_remove("SWARM_STORE").env_remove("SWARM_AGENT").env_remove("SWARM_LOCK_TOKEN");
        command.output().unwrap()
    }

    /// Imports; the status, the answers, and what was said.
    fn import(&self) -> (Option<i32>, Vec<Value>, String) {
        let output = self.run(&["import", ".agent_locks"]);
        (output.status.code(), lines(&output), String::from_utf8(output.stderr).unwrap())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn lines(output: &Output) -> Vec<Value> {
    output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The answers of one status, as one member of each.
fn of<'a>(answers: &'a [Value], status: &str, member: &str) -> Vec<&'a str> {
    answers.iter().filter(|answer| answer["status"] == status).filter_map(|answer| answer[member].as_str()).collect()
}

fn content(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entry = |path: PathBuf| {
        let what = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        (path, what)
    };
    fs::read_dir(dir).unwrap().map(|file| entry(file.unwrap().path())).collect()
}

#[test]
fn what_is_fresh_is_taken_over_for_the_rest_of_its_time_and_what_is_stale_is_told() {
    let project = Project::with_all(|age| age);
    let before = content(&project.locks());
    let (status, answers, said) = project.import();
    assert_eq!(content(&project.locks()), before, "the old files are as they were");
    // A name may be a directory's: index.ts/x.rs would be both's. One file is empty, and what it held nobody knows.
    assert_eq!(of(&answers, "conflict", "path"), ["src/{api,web}/index.ts"]);
    assert!(said.ends_with("swarm-lock: 11 taken over, 1 in conflict, 12 stale, 1 left out\n"), "{said}");
    assert!(said.contains(".agent_locks/d825db20") && said.contains(".lock is left out: it is empty"), "{said}");
    assert_eq!(status, Some(1));
    let why = of(&answers, "skipped", "why");
    assert_eq!((why.len(), why[0], &why[1..]), (13, "damaged", &["stale"; 12][..]));
    let stale = of(&answers, "skipped", "path");
    assert!(stale.contains(&"src/b*") && stale.contains(&"docs/\u{65e5}\u{672c}\u{8a9e} \u{30ce}\u{30fc}\u{30c8}.md"), "{stale:?}");

    let listed = lines(&project.run(&["list"]));
    let paths: Vec<&str> = listed.iter().flat_map(|lease| lease["paths"].as_array().unwrap()).map(|path| path.as_str().unwrap()).collect();
    for path in ["src/{*,*/**/*}x", "lib"] {
        assert!(!paths.contains(&path), "{paths:?}");
    }
    for path in ["src/{[!a],/}{*,*/**/*}.rs", "weird\nname.txt", "dist/app-{?,/}.{?,/}.tar.gz", "build"] {
        assert!(paths.contains(&path), "{paths:?}");
    }
    let span = |path: &str| {
        let lease = listed.iter().find(|lease| lease["paths"][0] == path).unwrap();
        let at = |name: &str| lease[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        at("expires_at").duration_since(at("since")).as_secs()
    };
    let (new, old) = (span("README.md"), span("build"));
    assert!((280..=300).contains(&new) && (209..=229).contains(&old), "{new} s are left of 300, {old} s of 229");
    let makefile = listed.iter().find(|lease| lease["paths"][0] == "Makefile").unwrap();
    assert_eq!(makefile["reason"].as_str().unwrap(), "x".repeat(500));
}

#[test]
fn of_those_that_were_granted_together_though_they_overlap_the_oldest_is_taken_over() {
    // All fresh, in their order.
    let project = Project::with_all(|age| age / 10.0);
    let (status, answers, said) = project.import();
    assert_eq!(status, Some(1));
    assert!(said.ends_with("swarm-lock: 21 taken over, 3 in conflict, 0 stale, 1 left out\n"), "{said}");
    let conflicts: Vec<[&str; 4]> = answers
        .iter()
        .filter(|answer| answer["status"] == "conflict")
        .map(|answer| ["path", "held", "agent_id", "witness"].map(|name| answer[name].as_str().unwrap()))
        .collect();
    assert_eq!(
        conflicts,
        [
            ["src/{*,*/**/*}x", "src/models.py", "agent-1", "src/models.py/x"],
            ["src/{*,*/**/*}x", "src/b{*,*/**/*}", "agent-4", "src/bx"],
            ["lib/x.py", "lib", "agent-1", "lib/x.py"],
            ["src/{[!a],/}{*,*/**/*}.rs", "src/models.py", "agent-1", "src/models.py/.rs"],
            ["src/{[!a],/}{*,*/**/*}.rs", "src/b{*,*/**/*}", "agent-4", "src/b.rs"],
        ]
    );
    let reasons: Vec<&str> = answers.iter().filter_map(|answer| answer["reason"].as_str()).collect();
    assert!(reasons.contains(&"overlaps src/*x, yet both were granted"), "{reasons:?}");
    assert!(said.contains("agent-5's lock on src/*x is not taken over:"), "{said}");
    let notes = lines(&project.run(&["list", "--agent", "agent-3", "notes"]));
    assert_eq!(notes[0]["reason"], "quote \" and ' and \\ in the reason and a second line and a tab", "a reason is one line");

    // web/app/page.tsx is in agent-6's web/**/*.tsx already. Once more is no more: the same leases, by their tokens.
    let granted = |answers: &[Value]| -> Vec<u64> {
        answers.iter().filter(|answer| answer["status"] == "granted").map(|answer| answer["token"].as_u64().unwrap()).collect()
    };
    let (_, again, _) = project.import();
    assert_eq!((granted(&again), lines(&project.run(&["list"])).len()), (granted(&answers), 20));
    assert!(again.iter().filter(|answer| answer["status"] == "granted").all(|answer| answer["renewed"] == true));
}

#[test]
fn a_name_that_reads_as_a_pattern_is_held_as_a_name_and_as_a_pattern_until_its_file_is_there() {
    let project = Project::new();
    project.lock("1.lock", "a", "app/[id]/page.tsx", 1.0);
    let (status, answers, _) = project.import();
    assert_eq!((status, &answers[0]["paths"]), (Some(0), &json!(["app/[id]/page.tsx", "app/[id]/page.tsx"])));
    for path in ["app/i/page.tsx", "app/[id]/page.tsx"] {
        assert_eq!(project.run(&["who", "--literal", path]).status.code(), Some(1), "{path}");
    }

    let project = Project::new();
    fs::create_dir_all(project.root.path().join("app/[id]")).unwrap();
    fs::write(project.root.path().join("app/[id]/page.tsx"), "").unwrap();
    project.lock("1.lock", "a", "app/[id]/page.tsx", 1.0);
    project.import();
    assert_eq!(project.run(&["who", "--literal", "app/[id]/page.tsx"]).status.code(), Some(1));
    assert_eq!(project.run(&["who", "app/i/page.tsx"]).status.code(), Some(0));
}

#[test]
fn paths_are_relative_to_the_directory_above_and_what_leads_out_is_left_out() {
    let project = Project::new();
    fs::create_dir_all(project.root.path().join("sub/.agent_locks")).unwrap();
    let absolute = project.root.path().canonicalize().unwrap().join("abs/x.rs");
    for (n, path) in
        ["src/../lib/a.rs", "../up.rs", absolute.to_str().unwrap(), "../../out.rs", "/etc/passwd", "a*/../b", "."].iter().enumerate()
    {
        project.lock(&format!("{n}.lock"), "a", path, 10.0 - f64::from(u8::try_from(n).unwrap()));
        fs::rename(project.locks().join(format!("{n}.lock")), project.root.path().join(format!("sub/.agent_locks/{n}.lock"))).unwrap();
    }
    let output = project.run(&["import", "sub/.agent_locks"]);
    let answers = lines(&output);
    let granted: Vec<&Value> = answers.iter().filter(|answer| answer["status"] == "granted").map(|answer| &answer["paths"][0]).collect();
    assert_eq!(granted, ["sub/lib/a.rs", "up.rs", "abs/x.rs", "sub"]);
    assert_eq!(of(&answers, "skipped", "path"), ["../../out.rs", "/etc/passwd", "a*/../b"]);
    assert_eq!(of(&answers, "skipped", "why"), ["path"; 3]);
    assert_eq!(output.status.code(), Some(1));

    // A link to the locks lies where it lies; from within, the directory is still the one above.
    let project = Project::new();
    project.lock("1.lock", "a", "x", 1.0);
    let other = tempfile::tempdir().unwrap();
    fs::DirBuilder::new().mode(0o700).create(other.path().join(".swarm")).unwrap();
    symlink(project.locks(), other.path().join("linked")).unwrap();
    let run = |dir: &Path, args: &[&str]| {
        Command::new(cargo_bin("swarm-lock")).args(args).current_dir(dir).env_remove("SWARM_STORE").output().unwrap()
    };
    assert_eq!(lines(&run(other.path(), &["import", "linked"]))[0]["paths"], json!(["x"]));
    assert_eq!(lines(&run(&project.locks(), &["import", "."]))[0]["paths"], json!(["x"]));
    let outside = run(other.path(), &["import", project.locks().to_str().unwrap()]);
    assert_eq!(outside.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&outside.stderr).contains("lies outside of the root"), "{outside:?}");
}

#[test]
fn what_is_no_lock_is_told_and_hides_no_other() {
    let project = Project::new();
    project.lock("good.lock", "a", "x", 1.0);
    project.lock("id.lock", "-a-", "y", 1.0);
    project.lock("long.lock", "a", &"*/".repeat(300), 1.0);
    project.lock("future.lock", "b", "z", -1e6);
    project.lock("readme.txt", "c", "w", 1.0);
    fs::write(project.locks().join("garbage.lock"), b"\xff\x00{").unwrap();
    fs::write(project.locks().join("list.lock"), "[]").unwrap();
    fs::create_dir(project.locks().join("dir.lock")).unwrap();
    let (status, answers, said) = project.import();
    let mut skipped: Vec<_> = of(&answers, "skipped", "file").into_iter().zip(of(&answers, "skipped", "why")).collect();
    skipped.sort_unstable();
    assert_eq!(
        skipped,
        [("dir.lock", "damaged"), ("garbage.lock", "damaged"), ("id.lock", "agent_id"), ("list.lock", "damaged"), ("long.lock", "path")]
    );
    assert_eq!((status, of(&answers, "granted", "agent_id")), (Some(1), vec!["a", "b"]));
    assert!(said.ends_with("2 taken over, 0 in conflict, 0 stale, 5 left out\n"), "{said}");
    let future = answers.iter().find(|answer| answer["agent_id"] == "b").unwrap();
    let left = future["expires_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
    assert!((200..=300).contains(&left.as_secs()), "{left}");
}

#[test]
fn a_directory_without_locks_is_a_wrong_call() {
    let project = Project::new();
    for dir in [".agent_locks", "nowhere", ".swarm"] {
        let output = project.run(&["import", dir]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{dir}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(dir), "{output:?}");
    }
    assert!(!project.root.path().join(".swarm/locks").exists(), "nothing was made");
}

#[test]
fn what_an_agent_lost_before_is_still_told_to_the_agent_after_an_import() {
    let project = Project::new();
    assert_eq!(project.run(&["acquire", "--as", "a", "mine"]).status.code(), Some(0));
    assert_eq!(project.run(&["release", "--as", "b", "--force", "--reason", "urgent", "mine"]).status.code(), Some(0));
    project.lock("1.lock", "a", "x", 1.0);
    let (status, _, said) = project.import();
    assert_eq!((status, said.as_str()), (Some(0), "swarm-lock: 1 taken over, 0 in conflict, 0 stale, 0 left out\n"));
    let told = project.run(&["renew", "--as", "a"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("was taken by b"), "{told:?}");
}
