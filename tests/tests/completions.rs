//! The completions, asked as a shell asks them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use swarm_tests::docs::{programs, root};

/// As `complete -F` calls its function (bash(1), Programmable Completion). Outside of a completion compopt complains, and that is all.
const BASH: &str = r#"
source "completions/bash/$1"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// Behind each word stands what it is.
const FISH: &str = r#"
source "completions/fish/$argv[1].fish"
complete -C "$argv" | string replace -r '\t.*' ''
"#;

/// Completion works at a prompt alone, so a second zsh is put at one; what it would offer is printed there.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty -b z zsh -f -i
zpty -w z 'PROMPT= fpath=(completions/zsh $fpath); autoload -U compinit; compinit -u -D'
zpty -w z 'compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
    local -a hits; builtin compadd -A hits "$@"
    local hit; for hit in $hits; do print -r "<h""it:$hit>"; done
}
bindkey "^I" complete-word
finish() { print "<do""ne>" }; zle -N finish; bindkey "^X" finish'
zpty -w -n z "$*"$'\t\C-x'
said=
while [[ $said != *'<done>'* && SECONDS -lt 30 ]]; do zpty -r z part && said+=$part || sleep 0.01; done
zpty -d z
print -r -- $said | sed -n 's/.*<hit:\(.*\)>.*/\1/p'
"#;

/// What bash offers where a call has files; its own completion of files follows where that is nothing.
fn in_bash(program: &str, words: &[&str]) -> Option<Vec<String>> {
    let offered = ask("bash", &["--norc", "-c", BASH, "bash"], program, words)?;
    let script = fs::read_to_string(root().join("completions/bash").join(program)).expect("a script");
    assert!(script.lines().filter(|line| line.contains("complete -F")).all(|line| line.contains("-o default")), "{program}");
    Some(offered.into_iter().filter(|word| !word.is_empty()).collect())
}

/// What a shell offers, a line each; `None`, told, where it is not installed.
fn ask(shell: &str, args: &[&str], program: &str, words: &[&str]) -> Option<BTreeSet<String>> {
    let output = Command::new(shell).args(args).arg(program).args(words).env("TERM", "dumb").current_dir(root()).output();
    match output {
        Ok(output) => Some(String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_string).collect()),
        Err(error) => {
            println!("not tried: {shell}: {error}");
            None
        }
    }
}

/// What each shell offers behind these words, the last of which is half typed.
fn offered(program: &str, words: &[&str]) -> Vec<(&'static str, BTreeSet<String>)> {
    let shells = [
        // The first word behind a script is the script's name.
        ("bash", &["--norc", "-c", BASH, "bash"][..]),
        ("fish", &["--no-config", "-c", FISH]),
        ("zsh", &["-f", "-c", ZSH, "zsh"]),
    ];
    shells.into_iter().filter_map(|(shell, args)| Some((shell, ask(shell, args, program, words)?))).collect()
}

#[test]
fn every_shell_offers_every_option_of_every_program() {
    for mut command in programs() {
        command.build();
        let name = command.get_name().to_string();
        for (shell, offered) in offered(&name, &["--"]) {
            for long in command.get_arguments().filter_map(|arg| arg.get_long()) {
                // A word that takes a value may come with its "=".
                let option = format!("--{long}");
                let is_offered = offered.iter().any(|word| word.trim_end_matches('=') == option);
                assert!(is_offered, "{shell}, {name}: {option} is not in {offered:?}");
            }
        }
    }
}

#[test]
fn every_shell_offers_every_command_and_each_ones_options_but_those_that_are_hidden() {
    let mut is_any = false;
    for mut command in programs().into_iter().filter(clap::Command::has_subcommands) {
        is_any = true;
        command.build();
        let name = command.get_name().to_string();
        let shown: BTreeSet<String> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name().to_string()).collect();
        for (shell, offered) in offered(&name, &[""]) {
            let offered: BTreeSet<String> = offered.into_iter().filter(|word| !word.starts_with('-')).collect();
            assert_eq!(offered, shown, "{shell}");
        }
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let options: BTreeSet<String> = sub.get_arguments().filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect();
            for (shell, offered) in offered(&name, &[sub.get_name(), "--"]) {
                let offered: BTreeSet<String> = offered.iter().map(|word| word.trim_end_matches('=').to_string()).collect();
                assert_eq!(offered, options, "{shell}, {name} {}", sub.get_name());
            }
        }
    }
    assert!(is_any, "no program has commands");
}

#[test]
fn every_shell_offers_the_words_that_a_value_can_be() {
    for (option, words) in [("--over", &["drop", "delay", "mark"][..]), ("--by", &["arrival", "timestamp"])] {
        for (shell, offered) in offered("swarm-ratelimit", &[option, ""]) {
            let words: BTreeSet<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(offered, words, "{shell}, {option}");
        }
    }
    for (shell, offered) in offered("swarm-filter", &["--type", "a"]) {
        assert!(offered.contains("ack"), "{shell}: {offered:?}");
    }
}

#[test]
fn every_shell_offers_the_word_that_a_call_can_begin_with() {
    for (shell, offered) in offered("swarm-ratelimit", &["ch"]) {
        assert!(offered.contains("check"), "{shell}: {offered:?}");
    }
}

#[test]
fn bash_offers_files_where_a_call_has_them_and_commands_where_one_is_to_run() {
    for (program, words) in [
        ("swarm-lock", &["acquire", ""][..]),
        ("swarm-lock", &["acquire", "--as", "a", "src", ""]),
        ("swarm-lock", &["list", ""]),
        ("swarm-lock", &["release", "--", "-"]),
        ("swarm-lock", &["run", "src", "--", "make", "-"]),
        ("swarm-filter", &[""]),
    ] {
        let Some(offered) = in_bash(program, words) else { return };
        assert_eq!(offered, [""; 0], "{program} {words:?}");
    }
    let offered = in_bash("swarm-lock", &["run", "src", "--", "slee"]).unwrap_or_default();
    assert!(offered.contains(&"sleep".to_string()), "{offered:?}");
    let options = in_bash("swarm-lock", &["run", "src", "--wa"]).unwrap_or_default();
    assert_eq!(options, ["--wait"]);
}
