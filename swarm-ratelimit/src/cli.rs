//! The command line of `swarm-ratelimit`: every option, written once, and what a call asks for. It opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use swarm_common::exit::{Exit, Failure};
use swarm_common::options::{self, Given, Opt, Tool};

use crate::check::Question;
use crate::record::{By, Clock};
use crate::shared::PLAIN_FIELD;
use crate::stream::{Over, Terms};
use swarm_common::limit::Limit;

/// The program's name.
pub const NAME: &str = "swarm-ratelimit";

const LIMIT: &str = "How many (without options: 10 a minute for each sender)";
const WHOSE: &str = "What is counted together";
const OVER: &str = "What is over the limit, or bad";
const SHARED: &str = "One limit for many processes";

/// What `--by` can be.
pub const CLOCKS: [(&str, Clock); 2] = [("arrival", Clock::Arrival), ("timestamp", Clock::Timestamp)];

/// What `--over` can be.
pub const OVERS: [(&str, Over); 3] = [("drop", Over::Drop), ("delay", Over::Delay), ("mark", Over::Mark)];

const fn option(long: &'static str, value: &'static str, group: &'static str, help: &'static str, man: &'static str) -> Opt {
    Opt { long, short: None, value: Some(value), group, help, man }
}

const fn switch(long: &'static str, group: &'static str, help: &'static str, man: &'static str) -> Opt {
    Opt { long, short: None, value: None, group, help, man }
}

/// The command line, for the parser, `--help`, the man page and the completions.
pub const TOOL: Tool = Tool {
    name: NAME,
    about: "pass at most N records a window for each key",
    usage: &["[OPTION...] < RECORDS", "check KEY [-n N] [--per SPAN] [--take]"],
    options: &[
        Opt {
            short: Some('n'),
            ..option(
                "limit",
                "N",
                LIMIT,
                "at most N records ...",
                "Pass at most N records of a key in any window; 10 if not given. The window slides: wherever a span of that length begins, it \
                 never holds more than N. What was refused does not count. A limit over 4096 is counted in steps of a 4096th of the window: \
                 never more than N, and a record may wait one step longer than it had to.",
            )
        },
        option(
            "per",
            "SPAN",
            LIMIT,
            "... in this time: 500ms, 60s, 1h",
            "The length of the window: 500ms, 60s, 1h30m; 60s if not given. From 1ms to 366d.",
        ),
        option(
            "by",
            "CLOCK",
            LIMIT,
            "arrival (when a record comes) or timestamp",
            "Whose clock the window runs on. arrival, which is the default: a record counts when it is read here; those that came with one \
             read(2) came together. timestamp: it counts when it was written, by its own timestamp, as a log is replayed; a record without \
             one is bad. A timestamp that lies before the newest of its key by less than a window counts as that one. Not with --over \
             delay or --shared, which need the time of the day.",
        ),
        option(
            "key",
            "FIELD",
            WHOSE,
            "records alike in FIELD, not in sender_id",
            "Count the records together that have the same value in FIELD, a field of the record's top level: a string, a number or a boolean. \
             Records without it, or with null in it, share one window. Without --key, as with --key sender_id, it is sender_id, which has to \
             be a string, in upper or lower case the same agent; or sender where that is missing, as in logs of the Python program.",
        ),
        switch("key-all", WHOSE, "all records", "One window over all records."),
        option(
            "max-keys",
            "N",
            WHOSE,
            "keys beyond N share one window",
            "Keep windows for at most N keys; the keys beyond them share one. Without it there are as many as there are keys: one that was \
             idle for an hour, and for its window, is forgotten. Not with --shared, whose windows are files.",
        ),
        option(
            "over",
            "WHAT",
            OVER,
            "drop, delay, or mark with \"over_limit\":true",
            "What becomes of a record that is over the limit. drop, which is the default: it does not pass; the first one of a key is told on \
             stderr (of ten keys at most), all are counted, and the status is 0. delay: it waits until it may pass, behind the earlier ones of its \
             key, while other keys go on; at the end of input those who wait go out when their time has come. With 1 MiB of waiting records \
             the input is not read on, so its writer waits. A signal, or a reader that goes away, ends the wait: who waits is kept with \
             --reject, else counted as lost. mark: it passes with \"over_limit\":true as its last field; where it has that field, it becomes true.",
        ),
        Opt {
            group: OVER,
            help: "append bad and dropped lines to FILE, raw",
            man: "Append every bad line to FILE, byte for byte, and every record that is dropped, or waited when a signal came (with --over delay, or with \
                  --shared for another process that had the window). Bad \
                  lines are then expected: they are still told on stderr, but do not change the exit status.",
            ..options::REJECT
        },
        Opt {
            group: OVER,
            help: "stop at the first bad line",
            man: "Stop with status 2 at the first bad input line; what was passed before it stays passed.",
            ..options::STRICT
        },
        switch(
            "shared",
            SHARED,
            "keep the windows in the store",
            "Keep the windows in the store, so that all processes with the same limit and the same key share one, and exactly N pass through all of \
             them together. Another limit is another window. It costs a lock and two small writes a record.",
        ),
        switch(
            "take",
            SHARED,
            "check: count one, where it is allowed",
            "With check: take one from the window where the answer is yes. Without it nothing is counted.",
        ),
        Opt { group: SHARED, help: "the store (default: $SWARM_STORE, else .swarm)", ..options::STORE },
    ],
    examples: &["producer | swarm-ratelimit -n 10 --per 60s | swarm-send --as agent-1"],
};

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To pass records on.
    Stream(Streaming),
    /// To answer one question.
    Check(Question),
}

/// What a stream needs to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// How many.
    pub limit: Limit,
    /// What counts, and what becomes of the rest.
    pub terms: Terms,
    /// The windows are those of the store, which may be named.
    pub shared: Option<Option<OsString>>,
    /// Where bad and dropped lines are kept.
    pub reject: Option<PathBuf>,
    /// The first bad line ends it.
    pub is_strict: bool,
}

/// Runs the program.
///
/// # Errors
/// As [`crate::limit`] and [`crate::check::run`]; status 2 for a wrong call.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<Exit, Failure> {
    options::run(&TOOL, args, |given| match request(given)? {
        Request::Stream(streaming) => crate::limit(streaming),
        Request::Check(question) => crate::check::run(&question),
    })
}

/// What was given, before it is known whether it fits together.
#[derive(Default)]
struct Raw {
    arguments: Vec<String>,
    limit: Option<Limit>,
    clock: Option<Clock>,
    field: Option<String>,
    is_all: bool,
    keys_max: Option<usize>,
    over: Option<Over>,
    reject: Option<PathBuf>,
    is_strict: bool,
    is_shared: bool,
    takes: bool,
    store: Option<OsString>,
}

/// Understands what was given.
///
/// # Errors
/// Status 2 for a value that can't be what its option wants, and for options that contradict each other.
pub fn request(given: Vec<Given>) -> Result<Request, Failure> {
    let mut raw = Raw::default();
    for one in given {
        match one {
            Given::Argument(argument) => raw.arguments.push(text("an argument", argument)?),
            Given::Option(name, value) => option_given(&mut raw, name, value)?,
        }
    }
    let by = match (&raw.field, raw.is_all) {
        (Some(_), true) => return Err(Failure::wrong("--key and --key-all contradict each other")),
        (None, true) => By::All,
        (Some(field), false) if field != PLAIN_FIELD => By::Field(field.clone()),
        _ => By::Sender,
    };
    match raw.arguments.first().map(String::as_str) {
        Some("check") => question(raw, by).map(Request::Check),
        Some(other) => {
            let hint = format!("it reads standard input: {NAME} < FILE; to ask about one key: {NAME} check KEY");
            Err(Failure::wrong(format!("what is '{other}'?")).hint(hint))
        }
        None => streaming(raw, by).map(Request::Stream),
    }
}

fn option_given(raw: &mut Raw, name: &'static str, value: OsString) -> Result<(), Failure> {
    let option = format!("--{name}");
    let limit = raw.limit.unwrap_or(Limit::DEFAULT);
    match name {
        "limit" => raw.limit = Some(limit.with_count(&text(&option, value)?)?),
        "per" => raw.limit = Some(limit.with_per(&text(&option, value)?)?),
        "by" => raw.clock = Some(one_of(&option, value, &CLOCKS)?),
        "key" if raw.field.is_some() => return Err(Failure::wrong("--key is given twice").hint("a record counts in one window")),
        "key" => raw.field = Some(text(&option, value)?),
        "key-all" => raw.is_all = true,
        "max-keys" => {
            let text = text(&option, value)?;
            let number = text.parse().ok().filter(|&number: &usize| number > 0);
            raw.keys_max = Some(number.ok_or_else(|| {
                Failure::wrong(format!("--max-keys {text}: not a whole number from 1")).hint("one window over everything is --key-all")
            })?);
        }
        "over" => raw.over = Some(one_of(&option, value, &OVERS)?),
        "reject" if raw.reject.is_some() => {
            return Err(Failure::wrong("--reject is given twice").hint("all rejected lines go to one file"));
        }
        "reject" if value.is_empty() => return Err(Failure::wrong("--reject has an empty value")),
        "reject" => raw.reject = Some(PathBuf::from(value)),
        "strict" => raw.is_strict = true,
        "shared" => raw.is_shared = true,
        "take" => raw.takes = true,
        "store" => raw.store = Some(value),
        _ => {}
    }
    Ok(())
}

fn question(raw: Raw, by: By) -> Result<Question, Failure> {
    let streams_only = [
        ("--by", raw.clock.is_some()),
        ("--max-keys", raw.keys_max.is_some()),
        ("--over", raw.over.is_some()),
        ("--reject", raw.reject.is_some()),
        ("--strict", raw.is_strict),
    ];
    if let Some((name, _)) = streams_only.iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::wrong(format!("{name} is for a stream, and check reads none")));
    }
    let mut keys = raw.arguments.into_iter().skip(1);
    let key = keys.next();
    if keys.next().is_some() {
        return Err(Failure::wrong("check takes one KEY").hint("ask once for each key"));
    }
    match (&key, &by) {
        (Some(_), By::All) => return Err(Failure::wrong("with --key-all there is one window, and no KEY")),
        (None, By::All) | (Some(_), _) => {}
        (None, _) => return Err(Failure::wrong("check needs a KEY").hint(format!("the sender, say: {NAME} check agent-1"))),
    }
    Ok(Question { key, by, limit: raw.limit.unwrap_or(Limit::DEFAULT), takes: raw.takes, store: raw.store })
}

fn streaming(raw: Raw, by: By) -> Result<Streaming, Failure> {
    let (clock, over) = (raw.clock.unwrap_or_default(), raw.over.unwrap_or_default());
    if raw.takes {
        return Err(Failure::wrong("--take is for check").hint(format!("{NAME} check KEY --take")));
    }
    if clock == Clock::Timestamp && over == Over::Delay {
        return Err(Failure::wrong("--by timestamp with --over delay: nobody can wait for a time that is over")
            .hint("--over drop and --over mark go with --by timestamp"));
    }
    if clock == Clock::Timestamp && raw.is_shared {
        return Err(Failure::wrong("--by timestamp with --shared: shared windows run on the time of the day"));
    }
    if raw.keys_max.is_some() && raw.is_shared {
        return Err(Failure::wrong("--max-keys with --shared: shared windows are files, and take no memory"));
    }
    if raw.store.is_some() && !raw.is_shared {
        return Err(Failure::wrong("--store without --shared: this stream's windows are in its memory")
            .hint("add --shared to keep them in the store"));
    }
    let keys_max = raw.keys_max.unwrap_or(usize::MAX);
    Ok(Streaming {
        limit: raw.limit.unwrap_or(Limit::DEFAULT),
        terms: Terms { by, clock, over, keys_max },
        shared: raw.is_shared.then_some(raw.store),
        reject: raw.reject,
        is_strict: raw.is_strict,
    })
}

/// A value that is text. An empty one is refused: `check "$WHO"` with nothing in WHO must not quietly mean something else.
fn text(what: &str, value: OsString) -> Result<String, Failure> {
    match value.into_string() {
        Ok(text) if text.is_empty() => Err(Failure::wrong(format!("{what} is empty"))),
        Ok(text) => Ok(text),
        Err(value) => Err(Failure::wrong(format!("{what} {}: not UTF-8, so no record can hold it", value.display()))),
    }
}

fn one_of<T: Copy>(option: &str, value: OsString, words: &[(&str, T)]) -> Result<T, Failure> {
    let text = text(option, value)?;
    let known = || words.iter().map(|(word, _)| *word);
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let hint = match options::nearest(&text, known()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("one of: {}", known().collect::<Vec<_>>().join(", ")),
        };
        Failure::wrong(format!("{option} can't be '{text}'")).hint(hint)
    })
}
