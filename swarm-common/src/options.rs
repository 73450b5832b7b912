//! The option table of the tools that parse with lexopt: each option is written down once, and the parser, `--help`, the man
//! page and the completions are all made from it. (The tools on clap have the same from its derive.)

use std::ffi::OsString;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::exit::{Exit, Failure};
use crate::{ndjson, platform, time};

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its long name, without the dashes.
    pub long: &'static str,
    /// Its letter; the same letter means the same in every tool.
    pub short: Option<char>,
    /// What its value is called; `None` for a switch.
    pub value: Option<&'static str>,
    /// The heading it stands under in `--help`: what the user wants to do.
    pub group: &'static str,
    /// A few words for `--help`.
    pub help: &'static str,
    /// All there is to say, for the man page.
    pub man: &'static str,
}

/// One tool's command line.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The program's name.
    pub name: &'static str,
    /// What it does, in one line, without a full stop.
    pub about: &'static str,
    /// The forms of a call, without the program's name.
    pub usage: &'static [&'static str],
    /// Every option but `--help` and `--version`, which all tools have.
    pub options: &'static [Opt],
    /// Examples at the bottom of `--help`.
    pub examples: &'static [&'static str],
}

/// `--store DIR`
pub const STORE: Opt = Opt {
    long: "store",
    short: None,
    value: Some("DIR"),
    group: "Where",
    help: "the swarm's store (default: $SWARM_STORE or .swarm)",
    man: "The store's directory. Without it: $SWARM_STORE, else the nearest .swarm upwards from the current directory, else one \
          created beside .git (see swarm(7)).",
};

/// `--reject FILE`
pub const REJECT: Opt = Opt {
    long: "reject",
    short: None,
    value: Some("FILE"),
    group: "Bad lines",
    help: "append bad lines to FILE, raw, and call it success",
    man: "Append every bad input line to FILE, byte for byte. Bad lines are then expected: they are still told on stderr, but do not \
          change the exit status. Every line is checked.",
};

/// `--strict`
pub const STRICT: Opt = Opt {
    long: "strict",
    short: None,
    value: None,
    group: "Bad lines",
    help: "stop at the first bad line",
    man: "Stop with status 2 at the first bad input line; what was passed before it stays passed. Every line is checked.",
};

/// `--help`
pub const HELP: Opt =
    Opt { long: "help", short: Some('h'), value: None, group: "", help: "this page", man: "Print a page of help and exit." };

/// `--version`
pub const VERSION: Opt =
    Opt { long: "version", short: Some('V'), value: None, group: "", help: "the version", man: "Print the version and exit." };

/// Something on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// An option by its long name, with its value (empty for a switch).
    Option(&'static str, OsString),
    /// An argument that is no option.
    Argument(OsString),
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To do the tool's job.
    Run(Vec<Given>),
    /// To print this on stdout and end with status 0.
    Print(String),
}

/// Runs a tool: prints the page that was asked for, or does the `job` with what was given.
///
/// # Errors
/// As [`parse`], and what the job fails with.
pub fn run(
    tool: &Tool,
    args: impl IntoIterator<Item = OsString>,
    job: impl FnOnce(Vec<Given>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    // Before anything is written, be it into the store.
    platform::survive_file_size_limit();
    match parse(tool, args)? {
        Call::Print(page) => ndjson::print(&page),
        Call::Run(given) => job(given),
    }
}

/// Reads a command line (the program's name in front) by the table.
///
/// # Errors
/// Status 2 for an unknown option (with the nearest known one), a value that is missing or not wanted.
pub fn parse(tool: &Tool, args: impl IntoIterator<Item = OsString>) -> Result<Call, Failure> {
    let see = format!("see {} --help", tool.name);
    let mut parser = lexopt::Parser::from_iter(args);
    let mut given = Vec::new();
    loop {
        let opt = match parser.next().map_err(|error| Failure::wrong(error.to_string()).hint(&see))? {
            None => return Ok(Call::Run(given)),
            Some(lexopt::Arg::Value(value)) => {
                given.push(Given::Argument(value));
                continue;
            }
            Some(lexopt::Arg::Short(letter)) => {
                let found = tool.all().find(|opt| opt.short == Some(letter));
                found.ok_or_else(|| Failure::wrong(format!("unknown option -{letter}")).hint(&see))?
            }
            Some(lexopt::Arg::Long(name)) => {
                let found = tool.all().find(|opt| opt.long == name);
                found.ok_or_else(|| {
                    let near = nearest(name, tool.all().map(|opt| opt.long));
                    let hint = near.map_or(see.clone(), |near| format!("did you mean --{near}? {see}"));
                    Failure::wrong(format!("unknown option --{name}")).hint(hint)
                })?
            }
        };
        match (opt.long, opt.value) {
            ("help", _) => return Ok(Call::Print(help(tool))),
            ("version", _) => return Ok(Call::Print(format!("{} {}\n", tool.name, env!("CARGO_PKG_VERSION")))),
            (long, None) => given.push(Given::Option(long, OsString::new())),
            (long, Some(value)) => {
                let missing = |_| Failure::wrong(format!("--{long} needs a value: --{long} {value}")).hint(&see);
                given.push(Given::Option(long, parser.value().map_err(missing)?));
            }
        }
    }
}

impl Tool {
    /// Every option, `--help` and `--version` last.
    pub fn all(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        self.options.iter().chain([&HELP, &VERSION])
    }
}

/// The page that `--help` prints: fits a screen of 80 columns.
pub fn help(tool: &Tool) -> String {
    let mut page = format!("{}: {}\n\n", tool.name, tool.about);
    for (n, form) in tool.usage.iter().enumerate() {
        let lead = if n == 0 { "Usage:" } else { "      " };
        let _ = writeln!(page, "{lead} {} {form}", tool.name);
    }
    let mut group = None;
    for opt in tool.all() {
        if group != Some(opt.group) {
            group = Some(opt.group);
            let _ = writeln!(page, "\n{}", if opt.group.is_empty() { "Else:".to_string() } else { format!("{}:", opt.group) });
        }
        let short = opt.short.map_or("    ".to_string(), |letter| format!("-{letter}, "));
        let value = opt.value.map_or(String::new(), |value| format!(" {value}"));
        let _ = writeln!(page, "  {:<24} {}", format!("{short}--{}{value}", opt.long), opt.help);
    }
    for (n, example) in tool.examples.iter().enumerate() {
        let lead = if n == 0 { "\nExample: " } else { "         " };
        let _ = writeln!(page, "{lead}{example}");
    }
    page
}

/// What clap says of a wrong call, as a failure like any other: without its usage, and cleaned where it is said.
pub fn wrong_call(program: &str, words: &str) -> Failure {
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines = lines.filter(|line| !["Usage:", "For more", "... |"].iter().any(|start| line.starts_with(start)));
    let what = lines.next().unwrap_or("wrong call").trim_start_matches("error: ").to_string();
    let see = format!("see {program} --help");
    let hint: Vec<&str> = lines.chain([see.as_str()]).collect();
    Failure::wrong(what).hint(hint.join("\n"))
}

/// A value that is text. An empty one is refused: `--from "$WHO"` with nothing in WHO must not quietly mean something else.
///
/// # Errors
/// Status 2, naming the option.
pub fn text(name: &str, value: OsString) -> Result<String, Failure> {
    match value.into_string() {
        Ok(text) if text.is_empty() => Err(Failure::wrong(format!("--{name} has an empty value"))),
        Ok(text) => Ok(text),
        Err(value) => Err(Failure::wrong(format!("--{name} {}: not UTF-8", value.display()))),
    }
}

/// A value that is a whole number.
///
/// # Errors
/// Status 2, naming the option.
pub fn number(name: &str, value: OsString) -> Result<u64, Failure> {
    let text = text(name, value)?;
    text.parse().map_err(|_| Failure::wrong(format!("--{name} {text}: not a whole number")))
}

/// A value that is an instant, or a span before `now`. The clock is read once a call, and not at all where no time is asked for.
///
/// # Errors
/// Status 2, naming the option.
pub fn instant(name: &str, value: OsString, now: &mut Option<Timestamp>) -> Result<Timestamp, Failure> {
    let text = text(name, value)?;
    time::instant(&text, *now.get_or_insert_with(time::now)).map_err(|mut failure| {
        failure.what = format!("--{name}: {}", failure.what);
        failure
    })
}

/// The known name nearest to what was typed, if it is near enough to be a slip.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near_enough = typed.chars().count().div_ceil(3).max(1);
    known.map(|name| (distance(typed, name), name)).min().filter(|(far, _)| *far <= near_enough).map(|(_, name)| name)
}

/// Edit distance (Levenshtein), ASCII letters without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_ascii_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_ascii_lowercase().chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = (corner + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool { name: "swarm-x", about: "x", usage: &["[FILE...]"], options: &[STORE, STRICT], examples: &["swarm-x"] };

    fn call(args: &[&str]) -> Result<Call, Failure> {
        parse(&TOOL, std::iter::once("swarm-x").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn a_slip_is_told_the_name_that_was_meant() {
        let failure = call(&["--strickt"]).expect_err("unknown");
        assert_eq!((failure.what.as_str(), failure.exit.status()), ("unknown option --strickt", 2));
        assert!(failure.hint.contains("--strict"), "{}", failure.hint);
    }

    #[test]
    fn values_switches_and_arguments_come_in_order() {
        let given = vec![
            Given::Option("store", "d".into()),
            Given::Argument("a".into()),
            Given::Option("strict", OsString::new()),
            Given::Argument("--b".into()),
        ];
        assert_eq!(call(&["--store=d", "a", "--strict", "--", "--b"]), Ok(Call::Run(given)));
        assert!(call(&["--strict=1"]).is_err() && call(&["--store"]).is_err() && call(&["-x"]).is_err());
        assert!(matches!(call(&["-h"]), Ok(Call::Print(page)) if page.contains("--store DIR")));
    }
}
