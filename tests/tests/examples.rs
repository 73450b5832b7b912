//! What the documents show is what happens: every example in them is run.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::bin_dir;
use swarm_tests::console::{examples, failures};
use swarm_tests::docs::root;

fn documents() -> Vec<PathBuf> {
    let markdown = |dir: &Path| {
        let files = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect::<Vec<_>>()
    };
    [markdown(&root()), markdown(&root().join("man/parts"))].concat()
}

#[test]
fn every_example_in_the_documents_prints_what_it_says() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in documents() {
        let examples = examples(&fs::read_to_string(&document).expect("a document"));
        count += examples.len();
        for failure in failures(&examples, bin_dir()).expect("a shell") {
            wrong.push(format!("{}, {failure}", document.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count > 0, "no example was found");
}

#[test]
fn an_example_that_is_wrong_is_found_and_the_others_pass() {
    let sample = include_str!("examples/sample.md");
    let wrong = failures(&examples(sample), bin_dir()).expect("a shell");
    let heads: Vec<&str> = wrong.iter().map(|failure| failure.lines().next().expect("a line")).collect();
    let marked = sample.lines().enumerate().filter(|(_, line)| line.ends_with("# wrong"));
    let expected: Vec<String> = marked.map(|(at, line)| format!("line {}: {line}", at + 1)).collect();
    assert_eq!(heads, expected, "{}", wrong.join("\n\n"));
    assert_eq!(expected.len(), 3);
}
