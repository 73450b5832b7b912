//! `swarm-lock` as a user calls it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::json;
use support::{Tree, all, answers, until};

#[test]
fn a_lease_is_granted_whole_or_refused_with_who_holds_what_and_a_witness() {
    let tree = Tree::new();
    let (status, granted) = tree.ask(&["acquire", "--as", "a", "--reason", "OAuth \"rewrite\"", "src/auth/**", "docs/auth.md"]);
    assert_eq!((status, granted.len()), (0, 1));
    let expires_at = &granted[0]["expires_at"];
    let expected = json!({"status": "granted", "token": 1, "agent_id": "a", "mode": "exclusive", "paths": ["src/auth/**", "docs/auth.md"],
        "expires_at": expires_at});
    assert_eq!(granted[0], expected);

    let mut call = tree.lock(&["acquire", "--as", "b", "README.md", "src/auth/login.rs", "docs"]);
    let refused = call.assert().code(1).stderr(
        contains("swarm-lock: src/auth/login.rs is held by a through src/auth/** for another 4m5")
            .and(contains("(reason: \"OAuth \\\"rewrite\\\"\")"))
            .and(contains("swarm-lock acquire --wait=5m --as b README.md src/auth/login.rs docs"))
            .and(contains("swarm-send --to a --type question 'May I have src/auth/login.rs?'")),
    );
    let refused = support::records(&refused.get_output().stdout);
    assert_eq!(all(&refused, "path"), ["src/auth/login.rs", "docs"]);
    assert_eq!(all(&refused, "held"), ["src/auth/**", "docs/auth.md"]);
    assert_eq!(all(&refused, "witness"), ["src/auth/login.rs", "docs/auth.md"]);
    for conflict in &refused {
        let known = ["status", "agent_id", "token", "mode", "reason", "decided", "why"].map(|member| &conflict[member]);
        let expected =
            [&json!("conflict"), &json!("a"), &json!(1), &json!("exclusive"), &json!("OAuth \"rewrite\""), &json!(true), &json!("held")];
        assert_eq!(known, expected);
        assert!(conflict["since"].is_string() && conflict["expires_at"].is_string());
    }
    assert_eq!(tree.ask(&["who", "README.md"]).0, 0, "nothing of a refused request is held");
}

#[test]
fn asking_again_prolongs_what_one_holds_and_keeps_its_token() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "--ttl", "1m", "src", "lib/*.rs"]).assert().success();
    let before = tree.ask(&["list"]).1;
    for args in [&["src/a.rs"][..], &["src", "lib/*.rs"], &["lib/x.rs"]] {
        let (status, again) = tree.ask(&[&["acquire", "--as", "A", "--ttl", "10m"], args].concat());
        assert_eq!((status, &again[0]["token"], &again[0]["renewed"]), (0, &json!(1), &json!(true)), "{args:?}");
    }
    let after = tree.ask(&["list"]).1;
    assert_eq!(after.len(), 1);
    assert!(after[0]["expires_at"].as_str() > before[0]["expires_at"].as_str());
    // Never shorter, and more than one holds is another grant.
    tree.lock(&["acquire", "--as", "a", "--ttl", "1s", "src"]).assert().success();
    assert!(tree.ask(&["list"]).1[0]["expires_at"].as_str() >= after[0]["expires_at"].as_str());
    assert_eq!(tree.ask(&["acquire", "--as", "a", "src", "new"]).1[0]["token"], 2);
    // A shared lease is no exclusive one.
    tree.lock(&["acquire", "--as", "a", "--shared", "read"]).assert().success();
    assert_eq!(tree.ask(&["acquire", "--as", "a", "read"]).1[0]["token"], 4);
    assert_eq!(tree.ask(&["acquire", "--as", "a", "--shared", "read"]).1[0]["token"], 3);
}

#[test]
fn shared_leases_stand_together_and_keep_out_who_wants_it_alone() {
    let tree = Tree::new();
    for who in ["a", "b"] {
        tree.lock(&["acquire", "--as", who, "--shared", "src"]).assert().success();
    }
    let (status, refused) = tree.ask(&["acquire", "--as", "c", "src/x"]);
    assert_eq!((status, all(&refused, "agent_id")), (1, vec!["a", "b"]));
    assert_eq!(tree.ask(&["who", "--as", "c", "--shared", "src/x"]).0, 0);
    assert_eq!(tree.ask(&["who", "--as", "a", "src/x"]).0, 1, "b");
    tree.lock(&["release", "--as", "b", "src"]).assert().success();
    assert_eq!(tree.ask(&["who", "--as", "a", "src/x"]).0, 0, "its own is in nobody's way");
    assert_eq!(tree.ask(&["acquire", "--as", "a", "src/x"]).0, 0);
}

#[test]
fn paths_are_relative_to_where_one_stands_and_shown_from_the_root() {
    let tree = Tree::new();
    tree.file("src/auth/a.rs");
    for (dir, argument, shown) in [
        ("src/auth", "a.rs", "src/auth/a.rs"),
        ("src/auth", "./a.rs", "src/auth/a.rs"),
        ("src/auth", "../*.rs", "src/*.rs"),
        ("src", "..", "."),
        ("", ".", "."),
        ("", "src/", "src"),
        ("", "src", "src"),
        ("", "src//auth/../auth/./a.rs", "src/auth/a.rs"),
        ("src", tree.path("src/auth/a.rs").to_str().unwrap(), "src/auth/a.rs"),
    ] {
        let (status, granted) = answers(tree.lock_in(dir, &["acquire", "--as", "a", argument]));
        assert_eq!((status, &granted[0]["paths"]), (0, &json!([shown])), "{dir} {argument}");
        tree.lock(&["release", "--as", "a", "--all"]).assert().success();
    }
    // Two spellings of one path are one path.
    tree.lock(&["acquire", "--as", "a", "src/auth/"]).assert().success();
    assert_eq!(answers(tree.lock_in("src", &["acquire", "--as", "b", "./auth//a.rs"])).0, 1);
}

#[test]
fn a_name_with_special_characters_is_a_path_where_it_exists_or_is_said_to_be_one() {
    let tree = Tree::new();
    tree.file("app/[id]/page.tsx");
    let (_, granted) = tree.ask(&["acquire", "--as", "a", "app/[id]/page.tsx"]);
    assert_eq!(granted[0]["paths"], json!(["app/[id]/page.tsx"]));
    assert_eq!(tree.ask(&["who", "--as", "b", "app/i/page.tsx"]).0, 0, "no glob");
    assert_eq!(tree.ask(&["who", "--as", "b", "app/*/page.tsx"]).0, 1);
    assert_eq!(tree.ask(&["acquire", "--as", "b", "new/[id]"]).0, 0);
    assert_eq!(tree.ask(&["who", "--as", "c", "new/i"]).0, 1, "a glob, for there is no such file");
    assert_eq!(tree.ask(&["acquire", "--as", "c", "--literal", "new/[x]"]).0, 0);
    assert_eq!(tree.ask(&["who", "--as", "b", "new/x"]).0, 0);
    // It can be given back under its name, whether it is there still or not.
    fs::remove_file(tree.path("app/[id]/page.tsx")).unwrap();
    assert_eq!(tree.ask(&["release", "--as", "a", "app/[id]/page.tsx"]).0, 0);
}

#[test]
fn a_symbolic_link_counts_by_its_own_name() {
    let tree = Tree::new();
    tree.file("real/a.rs");
    symlink(tree.path("real"), tree.path("link")).unwrap();
    let (_, granted) = tree.ask(&["acquire", "--as", "a", "link/a.rs"]);
    assert_eq!(granted[0]["paths"], json!(["link/a.rs"]));
    assert_eq!(tree.ask(&["acquire", "--as", "b", "real/a.rs"]).0, 0);
}

#[test]
fn what_is_wrong_is_refused_with_status_2_and_takes_nothing() {
    let tree = Tree::new();
    let long = "x".repeat(1025);
    let many: Vec<String> = (0..65).map(|n| format!("d{n}/*")).collect();
    let many: Vec<&str> = ["acquire", "--as", "a"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let acquire = |args: &[&'static str]| [&["acquire", "--as", "a"], args].concat();
    for (args, why) in [
        (acquire(&["../x"]), "leads out of the root"),
        (acquire(&["/etc/passwd"]), "leads out of the root"),
        (acquire(&[""]), "an empty path"),
        (vec!["acquire", "--as", "a", &long], "1025 bytes, the limit is 1024"),
        (many, "65 patterns: a lease has at most 64"),
        (acquire(&["a**b"]), "** stands beside something else"),
        (acquire(&["[a"]), "a [ without its ]"),
        (acquire(&["{a"]), "a { without its }"),
        (acquire(&["a", "b/[/]"]), "no path can match it"),
        (acquire(&["--ttl", "0s", "a"]), "a lease of no time"),
        (acquire(&["--ttl", "999us", "a"]), "at least 1ms"),
        (acquire(&["--pid", "abc", "a"]), "invalid value 'abc' for '--pid <PID>': not a whole number"),
        (vec!["release", "--as", "a", "--token", "x"], "'x' for '--token <N>': not a whole number"),
        (acquire(&["[[:alpha:]]"]), "write ranges"),
        (acquire(&["--ttl", "soon", "a"]), "'soon' is no span of time"),
        (acquire(&["--ttl", "3650d", "a"]), "at most 30d"),
        (acquire(&["--wait=", "a"]), "--wait= has an empty value"),
        (acquire(&["--wait=soon", "a"]), "--wait: 'soon' is no span"),
        (acquire(&["--wait", "5m", "a"]), "--wait takes its span with '=': --wait=5m"),
        (acquire(&["a", "--wait", "30"]), "a path of that name: ./30"),
        (vec!["run", "--as", "a", "--wait", "1h30m", "a", "--", "true"], "--wait=1h30m"),
        (acquire(&["a", "-"]), "'-' stands alone for standard input"),
        (vec!["release", "--as", "a", "-", "a"], "'-' stands alone for standard input"),
        (vec!["who", "-", "-"], "a file of that name is ./-"),
        (vec!["run", "--as", "a", "-", "--", "true"], "'-': paths are not read from standard input here"),
        (vec!["list", "-"], "a file of that name is ./-"),
        (vec!["check", "--token", "1", "a", "-"], "a file of that name is ./-"),
        (acquire(&["--reason", "a\nb", "a"]), "more than one line"),
        (acquire(&["-0", "a"]), "-0 is about names on standard input"),
        (acquire(&[]), "PATH"),
        (vec!["acquire", "a"], "who are you?"),
        (vec!["acquire", "--as", "a/b", "a"], "no agent id"),
        (vec!["release", "--as", "a"], "Nothing was named"),
        (vec!["release", "--as", "a", "--force", "a"], "--reason"),
        (vec!["release", "--as", "a", "--force", "--reason", " ", "a"], "--reason has an empty value"),
        (vec!["release", "--as", "a", "--token", "1", "a"], "cannot be used with"),
        (vec!["check", "a"], "--token"),
        (vec!["overlap", "a"], "<B>"),
        (vec!["aquire", "a"], "acquire"),
        (vec![], "which command? acquire, release,"),
        (vec!["acquire", "--as", "a", "--ttll", "5m", "a"], "--ttl"),
    ] {
        let call = tree.lock(&args).assert().code(2).stdout("");
        let said = String::from_utf8_lossy(&call.get_output().stderr).into_owned();
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(tree.ask(&["list"]), (1, vec![]));
}

#[test]
fn a_process_that_is_not_alive_is_no_tie_and_one_that_ends_ends_the_lease() {
    let tree = Tree::new();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = sleeper.id().to_string();
    tree.lock(&["acquire", "--as", "a", "--pid", &pid, "src"]).assert().success();
    assert_eq!(tree.ask(&["list"]).1[0]["pid"], json!(sleeper.id()));
    assert_eq!(tree.ask(&["acquire", "--as", "b", "src"]).0, 1);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(tree.ask(&["list", "--expired"]).1[0]["ended"], "gone");
    tree.lock(&["acquire", "--as", "c", "--pid", &pid, "x"]).assert().code(2).stderr(contains("no such process is alive"));
    assert_eq!(tree.ask(&["acquire", "--as", "b", "src"]).0, 0);
    tree.lock(&["acquire", "--as", "a", "x"]).assert().success().stderr(contains("your lease on src (token 1) has ended"));
    assert_eq!(all(&tree.ask(&["list"]).1, "agent_id"), ["b", "a"]);
}

#[test]
fn one_agent_at_two_terminals_is_not_in_its_own_way_and_each_tie_is_a_lease_of_its_own() {
    let tree = Tree::new();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = sleeper.id().to_string();
    assert_eq!(tree.ask(&["acquire", "--as", "a", "--pid", &pid, "src"]).1[0]["token"], 1);
    assert_eq!(tree.ask(&["acquire", "--as", "a", "src"]).1[0]["token"], 2);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(tree.ask(&["acquire", "--as", "b", "src"]).1[0]["token"], 2, "the other one stands");
}

#[test]
fn a_lease_whose_time_is_over_is_free_and_its_holder_is_told_once() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "--ttl", "20ms", "--reason", "why", "src/a.rs", "lib/x"]).assert().success();
    until("the lease ends", || tree.ask(&["who", "src"]).0 == 0);
    assert_eq!(tree.ask(&["check", "--token", "1", "lib/x"]).1[0]["why"], "expired");
    assert_eq!(tree.ask(&["acquire", "--as", "b", "src/a.rs"]).0, 0);
    let told = "swarm-lock: your lease on lib/x and 1 more (token 1) has ended: it was not renewed in time (reason: \"why\")\n";
    tree.lock(&["acquire", "--as", "a", "other"]).assert().success().stderr(contains(told));
    tree.lock(&["acquire", "--as", "a", "other"]).assert().success().stderr("");
    assert_eq!(tree.ask(&["list", "--expired"]).1.len(), 1, "what nobody has touched lies there");
    let (status, swept) = tree.ask(&["sweep"]);
    assert_eq!((status, all(&swept, "status"), &swept[0]["paths"]), (0, vec!["expired"], &json!(["lib/x"])));
    assert_eq!(tree.ask(&["list", "--expired"]), (1, vec![]));
    assert_eq!(tree.events()[1].1["paths"], json!(["lib/x", "src/a.rs"]), "all of it, though it lay in two files");
    let events: Vec<_> = tree.events().into_iter().map(|(kind, data)| (kind, data["token"].as_u64().unwrap())).collect();
    assert_eq!(events, [("LOCKED", 1), ("EXPIRED", 1), ("LOCKED", 2), ("LOCKED", 3)].map(|(kind, token)| (kind.to_string(), token)));
}

#[test]
fn one_gives_back_what_is_ones_own_in_whole_or_in_part() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "src/a", "src/b", "lib/*"]).assert().success();
    let (status, released) = tree.ask(&["release", "--as", "a", "src/b", "lib/*"]);
    assert_eq!((status, &released[0]["token"], &released[0]["paths"]), (0, &json!(1), &json!(["lib/*", "src/b"])));
    assert_eq!(tree.ask(&["list"]).1[0]["paths"], json!(["src/a"]));
    assert_eq!(tree.ask(&["check", "--token", "1", "src/a"]), (0, vec![json!({"valid": true, "token": 1})]));
    let (status, checked) = tree.ask(&["check", "--token", "1", "src/a", "lib/x"]);
    assert_eq!((status, checked), (1, vec![json!({"valid": false, "token": 1, "path": "lib/x", "why": "released"})]));
    assert_eq!(tree.ask(&["check", "--token", "9", "src/a"]).1[0]["why"], "unknown");

    let (status, refused) = tree.ask(&["release", "--as", "a", "src", "src/a"]);
    assert_eq!((status, all(&refused, "status")), (1, vec!["released", "refused"]));
    assert_eq!(refused[1], json!({"status": "refused", "path": "src", "error": "not held"}));
    let none = tree.lock(&["release", "--as", "a", "--token", "9999"]).assert().code(1);
    let none = none.stderr(contains("you hold no grant with the token 9999\n"));
    let answer = support::records(&none.get_output().stdout);
    assert_eq!(answer, [json!({"status": "refused", "token": 9999, "error": "not held"})]);
    tree.lock(&["release", "--as", "a", "--all"]).assert().code(0).stderr(contains("you hold no lease"));
    tree.lock(&["acquire", "--as", "a", "x", "y/z"]).assert().success();
    assert_eq!(tree.ask(&["release", "--as", "a", "--token", "2"]).0, 0);
    assert_eq!(tree.ask(&["list"]), (1, vec![]));
}

#[test]
fn what_another_holds_is_taken_away_with_force_and_a_reason_alone_and_he_is_told() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "src/**"]).assert().success();
    let refused = tree.lock(&["release", "--as", "b", "src/**"]).assert().code(1).stderr(contains("src/** is held by a, not by you"));
    let refused = refused.stderr(contains("  to take it away:  swarm-lock release --force --reason 'why' --as b 'src/**'\n"));
    let by_token = tree.lock(&["release", "--as", "b", "--token", "1"]).assert().code(1);
    by_token.stderr(contains(
        "token 1 is held by a, not by you\n  to take it away:  swarm-lock release --force --reason 'why' --as b --token 1\n",
    ));
    let refused = support::records(&refused.get_output().stdout);
    assert_eq!((&refused[0]["status"], &refused[0]["agent_id"], &refused[0]["token"]), (&json!("refused"), &json!("a"), &json!(1)));
    let (status, stolen) = tree.ask(&["release", "--as", "b", "--force", "--reason", "it crashed", "src/**"]);
    assert_eq!((status, &stolen[0]["status"], &stolen[0]["agent_id"]), (0, &json!("stolen"), &json!("a")));
    assert_eq!(tree.ask(&["check", "--token", "1", "src/x"]).1[0]["why"], "stolen");
    let told = contains("your lease on src/** (token 1) was taken by b ").and(contains("(reason: \"it crashed\")"));
    tree.lock(&["release", "--as", "a", "--all"]).assert().success().stderr(told);
    let events = tree.events();
    assert_eq!(events[1].0, "STOLEN");
    let data = json!({"token": 1, "agent_id": "a", "mode": "exclusive", "paths": ["src/**"], "reason": "it crashed"});
    assert_eq!(events[1].1, data);
}

#[test]
fn names_come_from_standard_input_by_lines_or_by_nuls() {
    let tree = Tree::new();
    let granted = |args: &[&str], input: &str| {
        let mut call = tree.lock(&[&["acquire", "--as", "a"], args].concat());
        call.write_stdin(input);
        answers(call).1.pop().map(|answer| answer["paths"].clone())
    };
    assert_eq!(granted(&["-"], "a b\r\nc\n\nd"), Some(json!(["a b", "c", "d"])));
    assert_eq!(granted(&["-0", "--literal", "-"], "x[1]\0y\nz\0"), Some(json!(["x[1]", "y\nz"])));
    assert_eq!(granted(&["-"], ""), None);
    tree.lock(&["acquire", "--as", "a", "-"]).write_stdin("").assert().code(0).stderr(contains("nothing to acquire"));
    let many: String = (0..10_001).map(|n| format!("f{n}\n")).collect();
    tree.lock(&["acquire", "--as", "a", "-"]).write_stdin(many).assert().code(2).stderr(contains("at most 10000"));
    tree.lock(&["acquire", "--as", "a", "-"]).write_stdin("a\0b\n").assert().code(2).stderr(contains("a NUL is in no path"));
    tree.lock(&["acquire", "--as", "a", "-"]).write_stdin(&b"\xff\n"[..]).assert().code(2).stderr(contains("not UTF-8"));
    // The same names can be asked about, and given back.
    let mut who = tree.lock(&["who", "--as", "b", "-0", "--literal", "-"]);
    who.write_stdin("x[1]\0free\0");
    assert_eq!(all(&answers(who).1, "path"), ["x[1]"]);
    tree.lock(&["release", "--as", "a", "-0", "-"]).write_stdin("x[1]\0y\nz\0").assert().success();
    tree.lock(&["renew", "--as", "a", "-"]).write_stdin("c\n").assert().success();
    tree.lock(&["release", "--as", "a", "-"]).write_stdin("").assert().success().stderr(contains("nothing to give back"));
    assert_eq!(tree.ask(&["release", "--as", "a", "--all"]).0, 0);
    let many: String = (0..10_000).map(|n| format!("d{}/f{n}\n", n % 50)).collect();
    tree.lock(&["acquire", "--as", "big", "-"]).write_stdin(many).assert().success();
    assert_eq!(tree.ask(&["who", "d7/f57"]).0, 1);
    assert_eq!(tree.ask(&["release", "--as", "big", "--all"]).0, 0);
    assert_eq!(tree.ask(&["who", "d7"]).0, 0);
}

#[test]
fn a_lease_whose_answer_cannot_be_written_is_given_back() {
    let tree = Tree::new();
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let acquire = |path: &str| {
        let mut acquire = Command::new(env!("CARGO_BIN_EXE_swarm-lock"));
        acquire.current_dir(tree.path("")).env_remove("SWARM_STORE").args(["acquire", "--as", "a", path]);
        acquire.stdout(fs::File::options().write(true).open("/dev/full").unwrap()).output().unwrap()
    };
    let failed = acquire("src");
    assert_eq!(failed.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("the lease was given back"));
    assert_eq!(tree.ask(&["list"]), (1, vec![]));
    // What was held before is held still.
    tree.lock(&["acquire", "--as", "a", "lib"]).assert().success();
    assert_eq!(acquire("lib").status.code(), Some(3));
    assert_eq!(tree.ask(&["list"]).0, 0);
}

#[test]
fn the_pure_question_needs_no_store() {
    let nowhere = tempfile::tempdir().unwrap();
    for (a, b, status, answer) in [
        ("src/[a-m]*.rs", "**/lib.rs", 0, json!({"overlap": true, "witness": "src/lib.rs", "decided": true})),
        ("src/[a-m]*.rs", "src/[n-z]*.rs", 1, json!({"overlap": false, "decided": true})),
        (&format!("{}a{}", "{".repeat(20), "}".repeat(20)), "a", 0, json!({"overlap": true, "witness": "a", "decided": true})),
    ] {
        assert_eq!(answers(support::call(nowhere.path(), &["overlap", a, b])), (status, vec![answer]), "{a} {b}");
    }
    let twenty = "{a,b}".repeat(20);
    let started = Instant::now();
    let (status, answer) = answers(support::call(nowhere.path(), &["overlap", &twenty, &format!("*{}", "{b,c}".repeat(3))]));
    assert!(status == 0 && answer[0]["decided"] == true && answer[0]["witness"].as_str().unwrap().ends_with("bbb"), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    support::call(nowhere.path(), &["overlap", "[", "a"]).assert().code(2);
}

#[test]
fn who_only_looks_makes_nothing() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join(".git")).unwrap();
    assert_eq!(answers(support::call(tree.path(), &["who", "a"])), (0, vec![]));
    assert_eq!(answers(support::call(tree.path(), &["list"])), (1, vec![]));
    assert_eq!(answers(support::call(tree.path(), &["check", "--token", "1", "a"])).0, 1);
    assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_set_aside_and_what_it_may_have_held_is_held_until_it_is_swept() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "src/a", "lib/a"]).assert().success();
    let file = tree.path(".swarm/locks/held/src.ndjson");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [&whole[..], b"{\"token\":2,\"agent_id\":\"b\",\"mo\n"].concat()).unwrap();
    // Who looks changes nothing, and does not take it for free.
    let (status, held) = tree.ask(&["who", "src/b"]);
    assert_eq!((status, all(&held, "why")), (1, vec!["damaged"]));
    let said = contains("src.ndjson is damaged: set aside as").and(contains("swarm-lock sweep --damaged"));
    let refused = tree.lock(&["acquire", "--as", "c", "src/b"]).assert().code(1).stderr(said);
    let refused = support::records(&refused.get_output().stdout);
    assert_eq!(
        (&refused[0]["why"], &refused[0]["held"], &refused[0]["hint"]),
        (&json!("damaged"), &json!("src/**"), &json!("swarm-lock sweep --damaged"))
    );
    let aside = fs::read(tree.path(".swarm/locks/damaged/src.ndjson.1")).unwrap();
    assert!(aside.starts_with(&whole) && aside.len() > whole.len());
    // What could be read counts, and so does the rest of the tree.
    assert_eq!(tree.ask(&["who", "src/a"]).1.len(), 2);
    assert_eq!(tree.ask(&["acquire", "--as", "c", "docs"]).0, 0);
    assert_eq!(tree.ask(&["acquire", "--as", "c", "src"]).0, 1, "what lies above is in its way too");
    assert_eq!(tree.ask(&["sweep"]).0, 0);
    assert_eq!(tree.ask(&["acquire", "--as", "c", "src/b"]).0, 1, "a plain sweep forgets nothing");
    tree.lock(&["sweep", "--damaged"]).assert().success().stderr(contains("forgotten: what src.ndjson.1 may have held"));
    assert_eq!(tree.ask(&["acquire", "--as", "c", "src/b"]).0, 0);
    assert_eq!(tree.ask(&["acquire", "--as", "c", "src/a"]).0, 1);
}

#[test]
fn a_file_of_garbage_whose_directory_is_not_known_may_hold_anything() {
    let tree = Tree::new();
    let deep = format!("{}/x", "long-name-".repeat(30));
    tree.lock(&["acquire", "--as", "a", &deep]).assert().success();
    let held = tree.path(".swarm/locks/held");
    let name = fs::read_dir(&held)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.contains('~'))
        .unwrap();
    fs::write(held.join(&name), "garbage").unwrap();
    assert_eq!(tree.ask(&["sweep"]).0, 0, "finds it, and sets it aside");
    let (status, refused) = tree.ask(&["acquire", "--as", "b", "elsewhere"]);
    assert_eq!((status, all(&refused, "held"), all(&refused, "why")), (1, vec!["."], vec!["damaged"]));
    assert_eq!(tree.ask(&["sweep", "--damaged"]).0, 0);
    assert_eq!(tree.ask(&["acquire", "--as", "b", "elsewhere"]).0, 0);
}

#[test]
fn a_line_that_cannot_be_read_is_told_wherever_it_breaks_off_and_the_others_are_listed() {
    let tree = Tree::new();
    for (agent, path) in [("a", "src/a"), ("b", "src/b"), ("c", "lib/c")] {
        tree.lock(&["acquire", "--as", agent, path]).assert().success();
    }
    let file = tree.path(".swarm/locks/held/src.ndjson");
    let lines = fs::read_to_string(&file).unwrap();
    let (first, second) = lines.trim_end().split_once('\n').unwrap();
    let twice = second.replace("{\"token\":2,", "{\"token\":2,\"token\":2,");
    for broken in [&second[..1], &second[..second.len() - 1], &second[..second.len() / 2], "garbage", &twice] {
        fs::write(&file, format!("{first}\n{broken}\n")).unwrap();
        tree.lock(&["list"]).assert().success().stderr(contains("src.ndjson: a line that cannot be read").count(1));
        assert_eq!(all(&answers(tree.lock(&["list"])).1, "agent_id"), ["a", "c"], "{broken}");
    }
}

#[test]
fn what_a_power_cut_leaves_of_a_file_is_nothing() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "src/a"]).assert().success();
    for left in [&b""[..], &[0; 4096]] {
        fs::write(tree.path(".swarm/locks/held/src.ndjson"), left).unwrap();
        tree.lock(&["acquire", "--as", "b", "src/a"]).assert().success().stderr("");
        tree.lock(&["release", "--as", "b", "src/a"]).assert().success();
    }
}

#[test]
fn a_lease_of_another_boot_has_ended() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "src/a"]).assert().success();
    let file = tree.path(".swarm/locks/held/src.ndjson");
    let line = fs::read_to_string(&file).unwrap();
    let at = line.find("\"boot_id\":\"").unwrap() + 11;
    fs::write(&file, format!("{}00000000{}", &line[..at], &line[at + 8..])).unwrap();
    assert_eq!(tree.ask(&["who", "src/a"]).0, 0);
    assert_eq!(tree.ask(&["acquire", "--as", "b", "src/a"]).1[0]["token"], 2);
}

#[test]
fn events_can_be_turned_off_and_worktrees_parted() {
    let tree = Tree::new();
    fs::write(tree.path(".swarm/config.toml"), "[lock]\nevents = false\n").unwrap();
    tree.lock(&["acquire", "--as", "a", "src"]).assert().success();
    assert!(!tree.path(".swarm/journal").exists());
    fs::write(tree.path(".swarm/config.toml"), "[lock]\nevent = false\n").unwrap();
    tree.lock(&["acquire", "--as", "a", "src"]).assert().code(2).stderr(contains("config.toml:2:"));
}

#[test]
fn worktrees_of_a_repository_share_their_leases_unless_they_are_parted() {
    let top = tempfile::tempdir().unwrap();
    let main = top.path().join("main");
    fs::create_dir(&main).unwrap();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&main).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]).args(args);
        assert!(git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap().status.success());
    };
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    git(&["worktree", "add", "-q", "../linked"]);
    let linked = top.path().join("linked");
    support::call(&main, &["acquire", "--as", "a", "src/a.rs"]).assert().success();
    let (status, held) = answers(support::call(&linked, &["acquire", "--as", "b", "src/a.rs"]));
    assert_eq!((status, all(&held, "agent_id")), (1, vec!["a"]));
    fs::write(main.join(".swarm/config.toml"), "[lock]\nper_worktree = true\n").unwrap();
    assert_eq!(answers(support::call(&linked, &["acquire", "--as", "b", "src/a.rs"])).0, 0);
    assert_eq!(answers(support::call(&main, &["who", "src/a.rs"])).1[0]["agent_id"], "a");
    assert_eq!(answers(support::call(&linked, &["who", "src/a.rs"])).1[0]["agent_id"], "b");
}

#[test]
fn list_shows_what_touches_with_all_that_belongs_to_it() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "--reason", "x", "src/a", "lib/a", "b/*"]).assert().success();
    tree.lock(&["acquire", "--as", "b", "docs"]).assert().success();
    assert_eq!(all(&tree.ask(&["list"]).1, "agent_id"), ["a", "b"]);
    assert_eq!(all(&tree.ask(&["list", "--agent", "B"]).1, "agent_id"), ["b"]);
    let (status, listed) = tree.ask(&["list", "lib"]);
    assert_eq!((status, listed.len(), &listed[0]["paths"]), (0, 1, &json!(["b/*", "lib/a", "src/a"])));
    assert_eq!(tree.ask(&["list", "nothing"]), (1, vec![]));
    assert_eq!(tree.ask(&["list", "--expired"]), (1, vec![]));
    let members: Vec<&str> = listed[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["token", "agent_id", "mode", "paths", "since", "expires_at", "reason"]);
}

#[test]
fn help_and_version_are_pages_that_fit_a_screen() {
    let tree = Tree::new();
    for command in ["", "acquire", "release", "renew", "run", "who", "list", "check", "overlap", "sweep", "import"] {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let page = tree.lock(&args).assert().success().stderr("");
        let page = String::from_utf8(page.get_output().stdout.clone()).unwrap();
        assert!(page.lines().count() <= 45 && page.contains("Example:"), "{command}: {page}");
        assert!(!page.contains("__command"));
        let narrow = tree.lock(&args).env("COLUMNS", "80").assert().success();
        let narrow = String::from_utf8(narrow.get_output().stdout.clone()).unwrap();
        let examples = |page: &str| page[page.find("Example:").unwrap()..].to_string();
        assert_eq!(examples(&narrow), examples(&page), "no example is broken in two");
        assert!(narrow.lines().all(|line| line.len() <= 80), "{narrow}");
    }
    for args in [&["--version"][..], &["-V"], &["acquire", "--version"], &["run", "-V"]] {
        tree.lock(args).assert().success().stdout(concat!("swarm-lock ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn a_file_that_is_named_as_a_span_can_be_waited_for() {
    let tree = Tree::new();
    tree.file("5m");
    for path in ["5m", "./7m"] {
        assert_eq!(tree.ask(&["acquire", "--as", "a", "--wait", path]).0, 0, "{path}");
    }
}

#[test]
fn a_file_that_is_named_as_standard_input_is_leased_by_its_path_or_by_a_list() {
    let tree = Tree::new();
    assert_eq!(tree.ask(&["acquire", "--as", "a", "./-"]).1[0]["paths"], json!(["-"]));
    let (status, conflict) = answers({
        let mut call = tree.lock(&["acquire", "--as", "b", "-"]);
        call.write_stdin("-\n");
        call
    });
    assert_eq!((status, all(&conflict, "held")), (1, vec!["-"]));
}

#[test]
fn who_is_refused_is_told_the_call_that_waits_and_who_has_waited_is_not() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "src/**"]).assert().success();
    let again = "  wait for it:  swarm-lock acquire --wait=5m --shared --ttl 8m --as b 'src/*.rs' docs\n";
    let call = ["acquire", "--as", "b", "--ttl", "8m", "src/*.rs", "docs", "--shared"];
    tree.lock(&call).assert().code(1).stderr(contains(again));
    let mut listed = tree.lock(&["acquire", "--as", "b", "-"]);
    listed.write_stdin("src/a\nsrc/b\n").assert().code(1).stderr(contains("  wait for it:  swarm-lock acquire --wait=5m --as b -\n"));
    let run = ["run", "--as", "b", "src/x", "--", "echo", "it's"];
    let again = "  wait for it:  swarm-lock run --wait=5m --as b src/x -- echo 'it'\\''s'\n";
    tree.lock(&run).assert().code(75).stdout("").stderr(contains(again));
    for call in [&["acquire", "--as", "b", "--wait=20ms", "src/x"][..], &["run", "--as", "b", "--wait=20ms", "src/x", "--", "true"]] {
        let told = tree.lock(call).assert().failure().stderr(contains("swarm-lock: waited 20ms: src/x is held by a"));
        told.stderr(contains("wait for it").not()).stderr(contains("ask for it"));
    }
}

#[test]
fn the_token_in_the_environment_is_named_where_it_is_wrong() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "x"]).assert().success();
    tree.lock(&["check", "x"]).env("SWARM_LOCK_TOKEN", "1").assert().success();
    tree.lock(&["check", "--token", "1", "x"]).env("SWARM_LOCK_TOKEN", "y").assert().success();
    for (token, why) in
        [("y", "SWARM_LOCK_TOKEN=y: not a whole number"), ("", "SWARM_LOCK_TOKEN is not set"), ("-1", "SWARM_LOCK_TOKEN=-1: ")]
    {
        tree.lock(&["check", "x"]).env("SWARM_LOCK_TOKEN", token).assert().code(2).stdout("").stderr(contains(why));
    }
}

#[test]
fn an_empty_list_on_standard_input_asks_for_nothing_and_that_is_a_yes() {
    let tree = Tree::new();
    for (args, said) in [
        (&["acquire", "--as", "a", "-"][..], "nothing to acquire"),
        (&["acquire", "--as", "a", "-0", "-"], "nothing to acquire"),
        (&["release", "--as", "a", "-"], "nothing to give back"),
        (&["renew", "--as", "a", "-"], "nothing to prolong"),
        (&["who", "-"], ""),
    ] {
        tree.lock(args).write_stdin("").assert().code(0).stdout("").stderr(contains(said));
    }
    assert_eq!(tree.ask(&["list"]), (1, vec![]));
}
