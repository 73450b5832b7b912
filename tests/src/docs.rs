//! Every document that is made and not written: man pages and completions. They are kept in the repository, so that installing
//! needs no generator; a test compares.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Arg, Command, ValueHint};
use clap_complete::aot::{Bash, Fish, Generator, Zsh, generate};

use crate::{command, page};

/// The programs: one line each.
pub fn programs() -> Vec<Command> {
    vec![
        swarm_send::cli::command(),
        command::of(&swarm_tail::cli::TOOL),
        command::of(&swarm_filter::cli::TOOL),
        command::of(&swarm_ratelimit::cli::TOOL),
        swarm_lock::cli::command(),
        swarm_agents::cli::command(),
        swarm_ack::cli::command(),
    ]
}

/// The top of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each document's path from the root, and its text.
///
/// # Errors
/// A hand-written part that cannot be read, or what is wrong with it.
pub fn files() -> Result<Vec<(PathBuf, String)>, String> {
    let mut files = vec![("man/swarm.7".into(), page::overview("swarm", &part("swarm")?)?)];
    for command in programs() {
        let name = command.get_name().to_string();
        let page = page::program(&command, &part(&name)?).map_err(|why| format!("{name}: {why}"))?;
        files.push((format!("man/{name}.1").into(), page));
        let mut command = command::hinted(&command);
        // The names under which the shells look for them.
        files.push((format!("completions/bash/{name}").into(), bash(&mut command)));
        files.push((format!("completions/zsh/_{name}").into(), completion(Zsh, &mut command)));
        let fish = completion(Fish, &mut command) + &first_words(&command);
        files.push((format!("completions/fish/{name}.fish").into(), fish));
    }
    Ok(files)
}

fn part(name: &str) -> Result<String, String> {
    let path = root().join(format!("man/parts/{name}.md"));
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn completion(shell: impl Generator, command: &mut Command) -> String {
    let name = command.get_name().to_string();
    let mut script = Vec::new();
    generate(shell, command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Of a name with a hyphen the generator writes one label where it jumps, and another where it arrives: no command's options would be offered.
fn bash(command: &mut Command) -> String {
    let label = |separator: &str| format!("{}__subcmd__", command.get_name().replace('-', separator));
    let (arrives, jumps) = (label("__subcmd__"), label("__"));
    let script = completion(Bash, command).replace(&arrives, &jumps);
    let (start, top) = (script, command.get_name().replace('-', "__"));
    let script = command.get_subcommands().fold(start, |script, sub| with_arguments(&script, &format!("{jumps}{}", sub.get_name()), sub));
    with_arguments(&script, &top, command)
}

/// The generator offers options also where files belong, or a command's words. With nothing to offer, bash completes files.
fn with_arguments(script: &str, label: &str, command: &Command) -> String {
    let hints: Vec<ValueHint> = command.get_positionals().map(Arg::get_value_hint).collect();
    let is_of_files =
        |hint: &ValueHint| matches!(hint, ValueHint::FilePath | ValueHint::AnyPath | ValueHint::DirPath | ValueHint::CommandName);
    let (start, end) = (format!("\n        {label})\n"), "\n            ;;\n");
    let section =
        script.split_once(&start).and_then(|(before, rest)| rest.split_once(end).map(|(section, after)| (before, section, after)));
    let Some((before, section, after)) = section.filter(|_| !hints.is_empty() && hints.iter().all(is_of_files)) else {
        return script.to_string();
    };
    let offer = if hints.contains(&ValueHint::CommandName) {
        "\n                if [[ ${prev} == -- ]] ; then COMPREPLY=( $(compgen -c -- \"${cur}\") ) ; fi"
    } else {
        ""
    };
    let no_options = format!(
        "            if [[ \" ${{COMP_WORDS[*]:1:COMP_CWORD-1}} \" == *\" -- \"* ]] ; then{offer}\n                return 0\n            fi\n"
    );
    // The last offer is the one for a word that follows none of the options with a value.
    let (values, rest) = section.rsplit_once("            COMPREPLY=( $(compgen -W").unwrap_or((section, ""));
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    // An option may stand first, but so may what is no option.
    let values = values.replace(" || ${COMP_CWORD} -eq 1 ]]", " ]]").replace(" || ${COMP_CWORD} -eq 2 ]]", " ]]");
    format!("{before}{start}{no_options}{values}{rest}{end}{after}")
}

/// The words that can stand first in a call, for fish: its generator knows options alone.
fn first_words(command: &Command) -> String {
    let words = command.get_positionals().flat_map(Arg::get_possible_values);
    let line = |word: PossibleValue| format!("complete -c {} -n __fish_is_first_token -f -a {}\n", command.get_name(), word.get_name());
    words.map(line).collect()
}
