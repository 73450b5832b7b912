//! A lexopt tool's option table as a `clap::Command`, so that pages and completions of all tools are made in one way. It parses nothing:
//! the tools on lexopt do not carry clap.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use swarm_common::message::TYPES;
use swarm_common::options::Tool;
use swarm_ratelimit::cli::{CLOCKS, OVERS};

/// The command that this table describes.
pub fn of(tool: &'static Tool) -> Command {
    let usage: Vec<String> = tool.usage.iter().map(|form| format!("{} {form}", tool.name)).collect();
    let mut command = Command::new(tool.name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(tool.about)
        .override_usage(usage.join("\n"))
        // The table has its own.
        .disable_help_flag(true)
        .disable_version_flag(true);
    for opt in tool.all() {
        let arg = Arg::new(opt.long).long(opt.long).help(opt.help).long_help(opt.man);
        let arg = if opt.group.is_empty() { arg } else { arg.help_heading(opt.group) };
        let arg = match opt.short {
            Some(letter) => arg.short(letter),
            None => arg,
        };
        command = command.arg(match opt.value {
            Some(value) => arg.value_name(value).action(ArgAction::Append),
            None => arg.action(ArgAction::SetTrue),
        });
    }
    // What stands alone in a call is one of the words that a form begins with, a file, or nothing that a shell could complete.
    let words = tool.usage.iter().filter_map(|form| form.split(' ').next());
    let words: Vec<&str> = words.filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())).collect();
    if !words.is_empty() {
        command = command.arg(Arg::new("word").value_parser(PossibleValuesParser::new(words)));
    }
    if tool.usage.iter().any(|form| form.contains("FILE")) {
        command = command.arg(Arg::new("files").value_name("FILE").num_args(0..));
    }
    command
}

/// The command with what a shell may offer for each value, by the values' names: files, directories, the words that can
/// stand there, and else nothing. Commands that are hidden are left out, which the generators do not do.
pub fn hinted(command: &Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    // clap takes no name that is not static; the few live as long as the generator.
    let name: &'static str = command.get_name().to_string().leak();
    let hinted = Command::new(name).about(about).version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    // Where a command may stand, it is that which a shell can complete: an argument in its place would keep the generators from it.
    let is_offered = |arg: &&Arg| !arg.is_positional() || !command.has_subcommands();
    let arguments = command.get_arguments().filter(is_offered).cloned().map(hint);
    let hinted = hinted.disable_help_flag(true).disable_version_flag(true).args(arguments);
    hinted.subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(self::hinted))
}

fn hint(arg: Arg) -> Arg {
    let value = arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string()).unwrap_or_default();
    match value.as_str() {
        "FILE" => arg.value_hint(ValueHint::FilePath),
        "DIR" => arg.value_hint(ValueHint::DirPath),
        "PATH" | "A" | "B" => arg.value_hint(ValueHint::AnyPath),
        "COMMAND" => arg.value_hint(ValueHint::CommandName),
        "TYPE" | "TYPE,..." => arg.value_parser(TYPES),
        "CLOCK" => arg.value_parser(CLOCKS.map(|(word, _)| word)),
        "WHAT" => arg.value_parser(OVERS.map(|(word, _)| word)),
        _ if arg.get_action().takes_values() => arg.value_hint(ValueHint::Other),
        _ => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_a_command_that_clap_finds_sound_and_that_has_every_option() {
        let tool = &swarm_filter::cli::TOOL;
        of(tool).debug_assert();
        let command = of(tool);
        for opt in tool.all() {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(opt.long)).unwrap_or_else(|| panic!("--{}", opt.long));
            assert_eq!((arg.get_short(), arg.get_action().takes_values()), (opt.short, opt.value.is_some()), "--{}", opt.long);
        }
    }
}
