//! One man page: name, synopsis and options from the program's own definition, the rest from its hand-written part.
//!
//! `clap_mangen` is not used: it makes a chapter of each group of options and a page of each subcommand, sets values as `<FILE>`, which
//! `--help` does not, and the texts without any mark of what is to be typed.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::markdown::{bold, escape, escape_code, italic, split_first_section, to_roff};

/// The page of a program in section 1. `part` is Markdown; its first section stands above the options.
///
/// # Errors
/// What is wrong with the part.
pub fn program(command: &Command, part: &str) -> Result<String, String> {
    let mut command = command.clone();
    command.build();
    let (description, rest) = split_first_section(part);
    let mut page = title(command.get_name(), 1, "User Commands");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, ".SH NAME\n{} \\- {}", escape_code(command.get_name()), escape(&uncapitalised(&about)));
    page.push_str(".SH SYNOPSIS\n");
    let subs: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    // A program with commands may be called without one, too: then it says what with.
    let is_callable = subs.is_empty() || command.get_positionals().next().is_some();
    let callable = is_callable.then_some(&command).into_iter().chain(subs.iter().copied());
    let forms: Vec<String> = callable.flat_map(usage).collect();
    let _ = writeln!(page, "{}", forms.join("\n.br\n"));
    page.push_str(&to_roff(description)?);
    let own: Vec<&Arg> = command.get_arguments().collect();
    let is_new = |arg: &&Arg, before: &[&Arg]| !before.iter().any(|other| other.get_id() == arg.get_id());
    if !subs.is_empty() {
        page.push_str(".SH COMMANDS\n");
        for sub in &subs {
            let about = sub.get_long_about().or(sub.get_about()).map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(page, ".SS {}\n{}", escape_code(sub.get_name()), marked(&sentence(&about)));
            arguments(sub, &mut page);
            options(sub.get_arguments().filter(|arg| !is_common(arg, &subs)), &mut page);
            let common = sub.get_arguments().filter(|arg| is_common(arg, &subs) && !arg.is_global_set());
            let common: Vec<String> = common.filter_map(long).collect();
            if !common.is_empty() {
                let _ = writeln!(page, ".PP\nAnd {}, as below.", common.join(", "));
            }
        }
    }
    page.push_str(".SH OPTIONS\n");
    arguments(&command, &mut page);
    let mut all: Vec<&Arg> = Vec::new();
    for arg in subs.iter().flat_map(|sub| sub.get_arguments()).filter(|arg| is_common(arg, &subs)) {
        if is_new(&arg, &all) && is_new(&arg, &own) {
            all.push(arg);
        }
    }
    all.extend(own);
    if subs.is_empty() {
        grouped(&all, &mut page)
    } else {
        options(all.into_iter(), &mut page)
    }
    page.push_str(&to_roff(rest)?);
    Ok(page)
}

/// The overview in section 7, all of it from its part.
///
/// # Errors
/// What is wrong with the part.
pub fn overview(name: &str, part: &str) -> Result<String, String> {
    Ok(title(name, 7, "Miscellaneous") + &to_roff(part)?)
}

fn title(name: &str, section: u8, manual: &str) -> String {
    let note = ".\\\" Made from man/parts and the program's options by `make man`: change those.\n";
    // Ragged and without hyphenation: names must stay whole, to be searched and copied.
    let version = env!("CARGO_PKG_VERSION");
    format!("{note}.TH {} {section} \"\" \"swarm tools {version}\" \"{manual}\"\n.nr HY 0\n.nh\n.ad l\n", escape_code(&name.to_uppercase()))
}

/// The form of a call without the remark that may stand behind it.
fn call(form: &str) -> &str {
    form.split("  ").next().unwrap_or(form)
}

/// A page's name line is no sentence; in the help of a tool on clap it looks like one.
fn uncapitalised(about: &str) -> String {
    let mut chars = about.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

/// How it is called, as the tools' own tables write it: without clap's brackets around what is needed.
fn usage(command: &Command) -> Vec<String> {
    let usage = command.clone().render_usage().to_string().replace("[OPTIONS]", "[OPTION...]");
    // A bracket that stands alone is the shell's.
    let bare = |word: &str| if word.len() > 1 { word.replace(['<', '>'], "") } else { word.to_string() };
    let forms = usage.trim_start_matches("Usage:").lines().map(|form| form.trim().split(' ').map(bare).collect::<Vec<_>>().join(" "));
    forms.map(|form| typed(call(&form))).collect()
}

/// An option that at least half of the commands have, in the same words: it is told once.
fn is_common(arg: &Arg, subs: &[&Command]) -> bool {
    let words = |arg: &Arg| arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
    let has = |sub: &&&Command| sub.get_arguments().any(|other| other.get_id() == arg.get_id() && words(other) == words(arg));
    !arg.is_positional() && subs.iter().filter(has).count() * 2 >= subs.len()
}

/// What a command is said to do in its list is no sentence; on the page it is.
fn sentence(about: &str) -> String {
    let mut chars = about.chars();
    let end = if about.ends_with(['.', '?']) { "" } else { "." };
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect::<String>() + end)
}

fn arguments(command: &Command, page: &mut String) {
    for arg in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
        if let Some(text) = arg.get_long_help().or(arg.get_help()) {
            let name = arg.get_value_names().map(|values| values.join(" ")).unwrap_or_default();
            let _ = writeln!(page, ".TP\n{}\n{}", italic(&name), marked(&text.to_string()));
        }
    }
}

/// The options under the headings they have in `--help`, all in their order.
fn grouped(args: &[&Arg], page: &mut String) {
    let shown = || args.iter().copied().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    let mut headings: Vec<Option<&str>> = Vec::new();
    for heading in shown().map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    let are_grouped = headings.len() > 1;
    for heading in headings {
        if are_grouped {
            // What a heading of --help says in brackets, the texts below say at length.
            let words = heading.map_or("Else", |words| words.split(" (").next().unwrap_or(words));
            let _ = writeln!(page, ".SS {}", escape(words));
        }
        options(shown().filter(|arg| arg.get_help_heading() == heading), page);
    }
}

fn options<'a>(args: impl Iterator<Item = &'a Arg>, page: &mut String) {
    for arg in args.filter(|arg| !arg.is_hide_set() && !arg.is_positional()) {
        let text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, ".TP\n{}\n{}", names(arg), marked(&text));
        let values = arg.get_possible_values();
        if arg.get_action().takes_values() && !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| bold(value.get_name())).collect();
            let _ = writeln!(page, "One of {}.", values.join(", "));
        }
    }
}

fn long(arg: &Arg) -> Option<String> {
    arg.get_long().map(|name| bold(&format!("--{name}")))
}

/// `-t`, `--type TYPE,...`
fn names(arg: &Arg) -> String {
    let short = arg.get_short().map(|letter| bold(&format!("-{letter}")));
    let names: Vec<String> = short.into_iter().chain(long(arg)).collect();
    let names = names.join(", ");
    if !arg.get_action().takes_values() {
        return names;
    }
    let value = italic(&arg.get_value_names().map(|values| values.join(" ")).unwrap_or_default());
    let is_optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    if is_optional { format!("{names}[={value}]") } else { format!("{names} {value}") }
}

/// A call: names and options as they are typed, words in capitals as what they stand for.
fn typed(form: &str) -> String {
    let mut roff = String::new();
    let mut rest = form;
    while !rest.is_empty() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let end = rest.find(|c| is_word(c) != rest.starts_with(is_word)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        roff.push_str(&match part {
            part if !part.starts_with(is_word) => escape_code(part),
            part if part.bytes().any(|byte| byte.is_ascii_lowercase()) || part.starts_with('-') => bold(part),
            part => italic(part),
        });
        rest = after;
    }
    guarded(&roff)
}

/// A line that begins like a request is none.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_string() }
}

/// A text in which options, variables and pages are named, and no mark says so.
fn marked(text: &str) -> String {
    let mark = |word: &str| {
        let core = word.trim_start_matches(['(', '\'']).trim_end_matches([',', '.', ';', ':', '\'', ')']);
        // `swarm(7)` ends in a bracket of its own.
        let page = word.find("(").filter(|at| *at > 0 && word[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        if let Some(at) = page {
            return format!("{}{}", bold(&word[..at]), escape(&word[at..]));
        }
        let is_option = core.len() > 1 && core.starts_with('-') && core[1..].starts_with(|c: char| c == '-' || c.is_ascii_alphabetic());
        if is_option || (core.len() > 1 && core.starts_with('$')) {
            let at = word.find(core).unwrap_or(0);
            return format!("{}{}{}", escape(&word[..at]), bold(core), escape(&word[at + core.len()..]));
        }
        escape(word)
    };
    let lines = text.lines().map(|line| guarded(&line.split(' ').map(mark).collect::<Vec<_>>().join(" ")));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_told_from_what_it_stands_for() {
        assert_eq!(typed("swarm-x check KEY [-n N]"), "\\fBswarm\\-x\\fR \\fBcheck\\fR \\fIKEY\\fR [\\fB\\-n\\fR \\fIN\\fR]");
        assert_eq!(marked("as for --since, in $HOME (see swarm(7)). A '-' too"), {
            "as for \\fB\\-\\-since\\fR, in \\fB$HOME\\fR (see \\fBswarm\\fR(7)). A \\(aq-\\(aq too"
        });
    }

    #[test]
    fn a_program_with_subcommands_has_them_with_their_options_on_its_one_page() {
        let pattern = Arg::new("pattern").value_name("PATTERN").required(true).help("where");
        let wait = Arg::new("wait").long("wait").value_name("SPAN").num_args(0..=1).require_equals(true).help("queue");
        let own = Arg::new("own").long("as").value_name("ID").help("who");
        let sub = |name: &'static str, about: &'static str| Command::new(name).about(about).disable_help_flag(true).arg(own.clone());
        let command = Command::new("swarm-x")
            .about("Do it")
            .disable_help_flag(true)
            .subcommand(sub("acquire", "take it").arg(pattern).arg(wait))
            .subcommand(sub("who", "is it free?").override_usage("... | swarm-x who  remark"))
            .subcommand(sub("list", "all of them"))
            .subcommand(sub("__inner", "no").hide(true));
        let page = program(&command, "# Description\nAbove.\n# Limits\nBelow.\n").expect("a page");
        let places = [
            "swarm\\-x \\- do it\n.SH SYNOPSIS\n\\fBswarm\\-x\\fR \\fBacquire\\fR [\\fIOPTION\\fR...] \\fIPATTERN\\fR\n.br\n",
            "\\&... | \\fBswarm\\-x\\fR \\fBwho\\fR\n.br\n",
            "SH COMMANDS",
            ".SS acquire\nTake it.\n.TP\n\\fIPATTERN\\fR\nwhere",
            "\\fB\\-\\-wait\\fR[=\\fISPAN\\fR]\nqueue",
            "And \\fB\\-\\-as\\fR, as below.",
            ".SS who\nIs it free?\n.PP\nAnd",
            "SH OPTIONS\n",
            "\\fB\\-\\-as\\fR \\fIID\\fR\nwho",
            "SH LIMITS",
        ];
        let places: Vec<usize> = places.iter().map(|text| page.find(text).unwrap_or_else(|| panic!("{text} in {page}"))).collect();
        assert!(places.is_sorted(), "{page}");
        assert!(!page.contains("inner") && page.matches("\nwho").count() == 1, "{page}");
    }
}
