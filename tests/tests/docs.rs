//! The documents that are made: up to date, well formed, and of use in a shell.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use swarm_tests::docs::{files, programs, root};

#[test]
fn what_is_checked_in_is_what_the_generator_makes() {
    let made = files().expect("documents");
    for (name, text) in &made {
        let kept = fs::read_to_string(root().join(name)).unwrap_or_default();
        assert!(kept == *text, "{} is not what its sources make of it: run `make man`", name.display());
    }
    let made: BTreeSet<PathBuf> = made.into_iter().map(|(name, _)| name).collect();
    let mut kept = BTreeSet::new();
    for dir in ["man", "completions/bash", "completions/zsh", "completions/fish"] {
        let entries = fs::read_dir(root().join(dir)).expect(dir).map(|entry| entry.expect(dir));
        let files = entries.filter(|entry| entry.file_type().expect(dir).is_file());
        kept.extend(files.map(|entry| Path::new(dir).join(entry.file_name())));
    }
    assert_eq!(kept, made, "a document of no program");
}

/// A page as `man` shows it at 80 columns, and what groff had to say.
fn render(page: &Path) -> (String, String) {
    let mut groff = Command::new("groff");
    // As man-db calls it, without colours.
    groff.args(["-man", "-ww", "-Tutf8", "-P-c", "-P-b", "-P-o", "-P-u", "-rLL=78n"]).arg(page);
    let output = groff.output().expect("groff, which the package groff-base brings, or groff");
    (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn pages_come_out_without_a_warning_and_fit_80_columns() {
    for (name, _) in files().expect("documents").iter().filter(|(name, _)| name.starts_with("man")) {
        let (text, warnings) = render(&root().join(name));
        assert_eq!(warnings, "", "{}", name.display());
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty() && text.len() > 1000, "{}: {wide:#?}", name.display());
    }
}

#[test]
fn a_page_has_every_option_and_every_section_a_user_looks_for() {
    for mut command in programs() {
        command.build();
        let name = command.get_name().to_string();
        let (text, _) = render(&root().join(format!("man/{name}.1")));
        for long in command.get_arguments().filter_map(|arg| arg.get_long()) {
            assert!(text.contains(&format!("--{long}")), "{name}: --{long}");
        }
        for sub in command.get_subcommands() {
            let (about, name) = (sub.get_about().map(ToString::to_string).unwrap_or_default(), sub.get_name());
            // A section ends with the next line that is indented as its heading is, or less.
            let below = text.split_once(&format!("\n   {name}\n")).map(|(_, below)| below.lines());
            let section =
                below.map(|lines| lines.take_while(|line| line.is_empty() || line.starts_with("    ")).collect::<Vec<_>>().join("\n"));
            assert_eq!(section.is_none(), sub.is_hide_set(), "{name}");
            let Some(section) = section else { continue };
            assert!(section.to_lowercase().contains(&about.to_lowercase()), "{name}: {section}");
            // What every command has stands once.
            for long in sub.get_arguments().filter(|arg| !arg.is_global_set()).filter_map(|arg| arg.get_long()) {
                assert!(section.contains(&format!("--{long}")), "{name}: --{long}");
            }
        }
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "HOW IT WORKS", "LIMITS", "FILES", "SEE ALSO"]
        {
            assert!(text.lines().any(|line| line == section), "{name}: {section}");
        }
    }
}
