//! Every document that is made and not written: man pages and completions. They are kept in the repository, so that installing
//! needs no generator; a test compares.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Arg, Command};
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
    completion(Bash, command).replace(&arrives, &jumps)
}

/// The words that can stand first in a call, for fish: its generator knows options alone.
fn first_words(command: &Command) -> String {
    let words = command.get_positionals().flat_map(Arg::get_possible_values);
    let line = |word: PossibleValue| format!("complete -c {} -n __fish_is_first_token -f -a {}\n", command.get_name(), word.get_name());
    words.map(line).collect()
}
