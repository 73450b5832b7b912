//! The command line of `swarm-filter`: every option, written once, and what a call asks for. It opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use swarm_common::exit::{Exit, Failure};
use swarm_common::options::{self, Given, Opt, Tool};
use swarm_common::{message, time};

use crate::condition::Conditions;
use crate::output::Show;

/// The program's name.
pub const NAME: &str = "swarm-filter";

const WHAT: &str = "Keep only some kinds";
const WHO: &str = "Keep only some people's";
const WHEN: &str = "Keep only a span of time (a time: 2026-11-23T08:00:00Z, or how long ago: 10m)";
const HOW: &str = "Turn it round, or want less";

const fn option(long: &'static str, value: &'static str, group: &'static str, help: &'static str, man: &'static str) -> Opt {
    Opt { long, short: None, value: Some(value), group, help, man }
}

const fn switch(long: &'static str, short: char, help: &'static str, man: &'static str) -> Opt {
    Opt { long, short: Some(short), value: None, group: HOW, help, man }
}

/// The command line, for the parser, `--help`, the man page and the completions.
pub const TOOL: Tool = Tool {
    name: NAME,
    about: "pass the records that match, byte for byte",
    usage: &["[OPTION...] [FILE...]"],
    options: &[
        Opt {
            short: Some('t'),
            ..option(
                "type",
                "TYPE,...",
                WHAT,
                "of one of these types, in upper or lower case",
                "Pass only records whose msg_type is one of these, compared without regard to case. Known types are QUESTION, \
                 REVIEW-REQUEST, BLOCKED, COMPLETED, CHALLENGE, INFO and ACK, and those that the tools write: DELIVERY, RETRY, \
                 ESCALATION, LOCKED, RELEASED, EXPIRED and STOLEN; any other name of letters, digits and '-' can be given.",
            )
        },
        option(
            "id",
            "ID,...",
            WHAT,
            "with one of these message ids",
            "Pass only records whose msg_id is one of these. Ids compare exactly.",
        ),
        option(
            "reply-to",
            "ID,...",
            WHAT,
            "that answer one of these messages",
            "Pass only records whose reply_to is one of these message ids: answers and acknowledgements.",
        ),
        option(
            "thread",
            "NAME",
            WHAT,
            "of this thread",
            "Pass only records of this thread. The name compares exactly, and is not split at commas; give the option again for \
             another thread.",
        ),
        option(
            "contains",
            "TEXT",
            WHAT,
            "with this text in the content",
            "Pass only records whose content holds this text, exactly as the message says it: escapes are read first, upper and lower \
             case differ. It is not split at commas; give the option again for another text, of which one is enough.",
        ),
        Opt {
            value: None,
            ..option("requires-ack", "", WHAT, "that ask for an acknowledgement", "Pass only records whose requires_ack is true.")
        },
        option(
            "from",
            "ID,...",
            WHO,
            "sent by one of these agents",
            "Pass only records whose sender_id (in logs of the Python program: sender) is one of these. Ids compare exactly.",
        ),
        option(
            "to",
            "ID,...",
            WHO,
            "to one of these, or to @all",
            "Pass only records addressed to one of these. A message to @all is to everyone, so it passes too; --to @all alone passes only \
             those. Ids compare exactly.",
        ),
        option(
            "agent",
            "ID,...",
            WHO,
            "from or to one of these, or to @all",
            "Pass only records that one of these agents sent, or that are addressed to one of them or to @all: what an agent takes part in.",
        ),
        option(
            "since",
            "TIME",
            WHEN,
            "not before; the time itself counts",
            "Pass only records with this timestamp or a later one. TIME is RFC 3339 (2026-11-23T08:34:30Z), a local date or time without \
             offset, or a span before now (90s, 10m, 2h, 1d). Given several times, the earliest counts. A timestamp without offset in \
             a record, as the Python program wrote it, is read as local time.",
        ),
        option(
            "until",
            "TIME",
            WHEN,
            "not after; the time itself counts",
            "Pass only records with this timestamp or an earlier one. TIME as for --since. Given several times, the latest counts.",
        ),
        switch(
            "invert-match",
            'v',
            "pass what does not match",
            "Pass the records that do not match. Bad and blank lines never pass. Every line is checked.",
        ),
        switch("count", 'c', "print only how many match", "Print only how many records match, as one number over all files."),
        Opt {
            value: Some("N"),
            ..switch(
                "max-count",
                'm',
                "stop after N matches",
                "Stop as soon as N records have matched, over all files; what follows is not looked at, and bad lines before it do not change the exit \
                 status. The last of several N counts.",
            )
        },
        switch(
            "quiet",
            'q',
            "print nothing; stop at the first match",
            "Print nothing on standard output and stop at the first match: the exit status is the answer.",
        ),
        options::REJECT,
        options::STRICT,
    ],
    examples: &["swarm-tail -f | swarm-filter --type question --to agent-1"],
};

/// What a call asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What a record must be.
    pub conditions: Conditions,
    /// What does not match passes.
    pub is_inverted: bool,
    /// What is shown of them.
    pub show: Show,
    /// Enough after so many.
    pub max: Option<u64>,
    /// Where bad lines are kept.
    pub reject: Option<PathBuf>,
    /// The first bad line ends it.
    pub is_strict: bool,
    /// What is read, in this order; `-` is standard input, and so is nothing at all.
    pub files: Vec<OsString>,
}

/// Runs the program.
///
/// # Errors
/// As [`crate::filter`]; status 2 for a wrong call.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<Exit, Failure> {
    options::run(&TOOL, args, |given| crate::filter(request(given)?))
}

/// Understands what was given.
///
/// # Errors
/// Status 2 for a value that can't be what its option wants.
pub fn request(given: Vec<Given>) -> Result<Request, Failure> {
    let mut conditions = Conditions::default();
    let (mut show, mut max, mut reject, mut files) = (Show::Lines, None, None, Vec::new());
    let (mut is_inverted, mut is_strict) = (false, false);
    // One clock reading for both ends of a range, and none where no time is asked for.
    let mut now = None;
    for one in given {
        let (name, value) = match one {
            Given::Argument(file) => {
                files.push(file);
                continue;
            }
            Given::Option(name, value) => (name, value),
        };
        match name {
            "type" => conditions.types.extend(types(list(name, value)?)?),
            "id" => conditions.ids.extend(list(name, value)?),
            "reply-to" => conditions.replies.extend(list(name, value)?),
            "thread" => conditions.threads.push(options::text(name, value)?),
            "contains" => conditions.contains.push(options::text(name, value)?),
            "requires-ack" => conditions.requires_ack = true,
            "from" => conditions.from.extend(list(name, value)?),
            "to" => conditions.to.extend(list(name, value)?),
            "agent" => conditions.agents.extend(list(name, value)?),
            "since" => {
                let at = options::instant(name, value, &mut now)?;
                conditions.since = Some(conditions.since.map_or(at, |other| other.min(at)));
            }
            "until" => {
                let at = options::instant(name, value, &mut now)?;
                conditions.until = Some(conditions.until.map_or(at, |other| other.max(at)));
            }
            "invert-match" => is_inverted = true,
            "count" if show == Show::Lines => show = Show::Count,
            "quiet" => show = Show::Nothing,
            "max-count" => max = Some(options::number(name, value)?),
            "reject" if reject.is_some() => {
                return Err(Failure::wrong("--reject is given twice").hint("all bad lines go to one file"));
            }
            "reject" if value == "-" => {
                return Err(Failure::wrong("--reject -: standard output is for the records that pass").hint("a file, or /dev/stderr"));
            }
            "reject" => reject = Some(PathBuf::from(value)),
            "strict" => is_strict = true,
            // --count behind --quiet, which prints nothing anyway.
            _ => {}
        }
    }
    if let (Some(since), Some(until)) = (conditions.since, conditions.until)
        && since > until
    {
        let range = format!("--since {} is later than --until {}: nothing can match", time::write(since), time::write(until));
        return Err(Failure::wrong(range).hint("a span counts back from now: --since 1h --until 10m"));
    }
    Ok(Request { conditions, is_inverted, show, max, reject, is_strict, files })
}

/// A list, split at its commas.
fn list(name: &str, value: OsString) -> Result<Vec<String>, Failure> {
    let text = options::text(name, value)?;
    if text.split(',').any(str::is_empty) {
        return Err(Failure::wrong(format!("--{name} {text}: an empty name in the list"))
            .hint(format!("--{name} A,B without spaces or commas to spare")));
    }
    Ok(text.split(',').map(str::to_string).collect())
}

/// Types as they can be stored: any other could never match, so it is a slip.
fn types(names: Vec<String>) -> Result<Vec<String>, Failure> {
    names.iter().try_for_each(|name| message::check_type(name))?;
    Ok(names)
}
