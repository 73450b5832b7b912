//! What the documents show is what happens: every example in them is run.

use std::path::{Path, PathBuf};
use std::{env, fs};

use swarm_tests::console::{examples, failures};
use swarm_tests::docs::root;

/// Where cargo puts the programs: beside the directory of this test. Tests of one package do not build the others' programs.
fn programs() -> PathBuf {
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]).current_dir(root());
    build.args((!cfg!(debug_assertions)).then_some("--release"));
    assert!(build.status().expect("cargo").success(), "the programs do not build");
    let dir = env::current_exe().expect("this test").ancestors().nth(2).expect("target/PROFILE/deps").to_path_buf();
    assert!(dir.join("swarm-filter").exists(), "no swarm-filter in {}", dir.display());
    dir
}

fn documents() -> Vec<PathBuf> {
    let markdown = |dir: &Path| {
        let files = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect::<Vec<_>>()
    };
    [markdown(&root()), markdown(&root().join("man/parts"))].concat()
}

#[test]
fn every_example_in_the_documents_prints_what_it_says() {
    let programs = programs();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in documents() {
        let examples = examples(&fs::read_to_string(&document).expect("a document"));
        count += examples.len();
        for failure in failures(&examples, &programs).expect("a shell") {
            wrong.push(format!("{}, {failure}", document.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count > 0, "no example was found");
}

#[test]
fn an_example_that_is_wrong_is_found_and_the_others_pass() {
    let sample = include_str!("examples/sample.md");
    let wrong = failures(&examples(sample), &programs()).expect("a shell");
    let heads: Vec<&str> = wrong.iter().map(|failure| failure.lines().next().expect("a line")).collect();
    let marked = sample.lines().enumerate().filter(|(_, line)| line.ends_with("# wrong"));
    let expected: Vec<String> = marked.map(|(at, line)| format!("line {}: {line}", at + 1)).collect();
    assert_eq!(heads, expected, "{}", wrong.join("\n\n"));
    assert_eq!(expected.len(), 3);
}
