//! The command line of `swarm-tail`: every option, written once, and what a call asks for. It opens nothing.

use std::ffi::OsString;

use jiff::Timestamp;
use swarm_common::exit::{Exit, Failure};
use swarm_common::options::{self, Given, Opt, Tool};

/// The program's name.
pub const NAME: &str = "swarm-tail";

const WHERE_TO_BEGIN: &str = "Begin later than at the oldest record";
const GO_ON: &str = "Follow, and resume";
const MINE: &str = "My inbox";
const CAP: &str = "Cap one read at";

/// Where `-f` begins when nothing else was said, as journalctl and tail do.
pub const FOLLOW_LINES: u64 = 10;

/// The command line, for the parser, `--help`, the man page and the completions.
pub const TOOL: Tool = Tool {
    name: NAME,
    about: "print, follow and resume the swarm's journal, or any NDJSON file",
    usage: &["[OPTION...]", "[-n N] [-f] FILE..."],
    options: &[
        Opt {
            long: "lines",
            short: Some('n'),
            value: Some("N"),
            group: WHERE_TO_BEGIN,
            help: "at the last N records, or lines of each FILE",
            man: "Begin at the last N records of the journal, or lines of each FILE; 0 is none, 'all' is all of them. With -f and \
                  nothing else that says where to begin, it is 10. With --from-seq or --since, what both allow is printed.",
        },
        Opt {
            long: "from-seq",
            short: None,
            value: Some("N"),
            group: WHERE_TO_BEGIN,
            help: "at the record with seq N",
            man: "Begin at the record with seq N. One that is not stored yet is waited for with -f.",
        },
        Opt {
            long: "since",
            short: None,
            value: Some("TIME"),
            group: WHERE_TO_BEGIN,
            help: "at a time: 2026-11-23T08:00:00Z, or 10m ago: 10m",
            man: "Begin at the first record with this timestamp or a later one, found by binary search. TIME is RFC 3339 \
                  (2026-11-23T08:34:30Z), a local date or time without offset, or a span before now (90s, 10m, 2h, 1d).",
        },
        Opt {
            long: "follow",
            short: Some('f'),
            value: None,
            group: GO_ON,
            help: "go on with what comes (begins at the last 10)",
            man: "Do not end: print each record as soon as it is stored. A FILE is followed by its name, through renaming, replacement and \
                  truncation, and waited for where it is missing; a file that lost its name is read to its end first. Ends when the \
                  reader of standard output goes away.",
        },
        Opt {
            long: "cursor",
            short: None,
            value: Some("NAME"),
            group: GO_ON,
            help: "go on behind what the reader NAME has had",
            man: "Go on behind what was printed with this cursor before; a new one begins at the oldest record, with -f too. What \
                  standard output took is remembered at each pause, at least once a second, and at the end; who is killed in between gets \
                  the last records again, and never misses one. One process at a time may use a cursor.",
        },
        Opt {
            long: "peek",
            short: None,
            value: None,
            group: GO_ON,
            help: "do not move the cursor",
            man: "Print what --cursor would print, and leave the cursor where it is.",
        },
        Opt {
            long: "inbox",
            short: None,
            value: None,
            group: MINE,
            help: "the messages to me that I have not read",
            man: "Print the records that name me as a recipient, or @all, and that I did not send, from the first one on that was not printed so \
                  before. What is passed over, and what standard output took, is remembered as with --cursor; the cursor is inbox-ID. What was \
                  sent to @all counts from the time on at which I was registered, if I am. With -f it goes on, with --peek nothing counts as \
                  read, and --limit and --max-bytes cap it.",
        },
        Opt {
            long: "as",
            short: None,
            value: Some("ID"),
            group: MINE,
            help: "who I am (default: $SWARM_AGENT, the pane's agent)",
            man: "Whose inbox it is. Without it: $SWARM_AGENT, else the agent that this tmux pane is registered to.",
        },
        Opt {
            long: "force",
            short: None,
            value: None,
            group: MINE,
            help: "read it though this pane is another agent's",
            man: "Read an inbox in a tmux pane that is registered to another agent. Only to look (--peek, --count) needs no force.",
        },
        Opt {
            long: "count",
            short: Some('c'),
            value: None,
            group: MINE,
            help: "only how many there are; status 1 if none",
            man: "Of --inbox print only how many unread messages there are: {\"agent_id\":\"agent-1\",\"unread\":3}. The status is 1 when there are \
                  none. Nothing counts as read.",
        },
        Opt {
            long: "limit",
            short: None,
            value: Some("N"),
            group: CAP,
            help: "N records; says how many remain",
            man: "End after N records, also with -f, and say on standard error how many remain. A cursor moves over what was printed \
                  alone.",
        },
        Opt {
            long: "max-bytes",
            short: None,
            value: Some("N"),
            group: CAP,
            help: "N bytes, but one record at least",
            man: "End before the record that would make the output larger than N bytes, and say on standard error how many remain. \
                  The first record is printed whatever its size, so that a cursor never gets stuck.",
        },
        options::STORE,
    ],
    examples: &["swarm-tail -f | swarm-filter --type question --to agent-1", "swarm-tail --inbox --as agent-1 --limit 20"],
};

/// What a call asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Records of the journal.
    Journal {
        /// What of it.
        wanted: Wanted,
        /// Where the store is, if it was said.
        store: Option<OsString>,
    },
    /// Lines of files; `-` is standard input.
    Files {
        /// In this order.
        files: Vec<OsString>,
        /// Only the last so many.
        lines: Option<u64>,
        /// And what comes.
        is_followed: bool,
    },
}

/// What is wanted of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where to begin; each that is given narrows.
    pub from: From,
    /// Go on with what comes.
    pub is_followed: bool,
    /// The reader whose place is gone on from, and whether it only looks.
    pub reader: Option<(Reader, Peek)>,
    /// No more records than that.
    pub records_max: Option<u64>,
    /// No more bytes than that, but one record.
    pub bytes_max: Option<u64>,
    /// Nothing but how many records that would be.
    pub is_counted: bool,
}

impl Wanted {
    /// True if an agent reads its inbox, and not only looks.
    pub fn is_read(&self) -> bool {
        matches!(self.reader, Some((Reader::Inbox { .. }, Peek::No))) && !self.is_counted
    }
}

/// A reader with a place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The one that has this cursor.
    Cursor(String),
    /// An agent that reads what is for it.
    Inbox {
        /// What `--as` says.
        given: Option<String>,
        /// Though the pane is another agent's.
        force: bool,
    },
}

/// Whether a cursor stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// It stays.
    Yes,
    /// It moves.
    No,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// At the last so many.
    pub lines: Option<u64>,
    /// At this seq.
    pub seq: Option<u64>,
    /// At this time.
    pub since: Option<Timestamp>,
}

/// Runs the program.
///
/// # Errors
/// As [`crate::tail`]; status 2 for a wrong call.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<Exit, Failure> {
    options::run(&TOOL, args, |given| crate::tail(request(given)?))
}

/// Understands what was given.
///
/// # Errors
/// Status 2 for a value that can't be what its option wants, and for options that contradict each other.
pub fn request(given: Vec<Given>) -> Result<Request, Failure> {
    let mut wanted = Wanted::default();
    let (mut lines, mut cursor, mut identity, mut store, mut files) = (None, None, None, None, Vec::new());
    let (mut is_inbox, mut is_peek, mut is_forced) = (false, false, false);
    let mut now = None;
    // Which options are only for the journal.
    let mut of_journal = None;
    for one in given {
        let (name, value) = match one {
            Given::Argument(file) => {
                files.push(file);
                continue;
            }
            Given::Option(name, value) => (name, value),
        };
        if !matches!(name, "lines" | "follow") {
            of_journal = of_journal.or(Some(name));
        }
        match name {
            "lines" => lines = Some(last(name, value)?),
            "from-seq" => wanted.from.seq = Some(options::number(name, value)?),
            "since" => wanted.from.since = Some(options::instant(name, value, &mut now)?),
            "follow" => wanted.is_followed = true,
            "cursor" => cursor = Some(options::text(name, value)?),
            "peek" => is_peek = true,
            "inbox" => is_inbox = true,
            "as" => identity = Some(options::text(name, value)?),
            "force" => is_forced = true,
            "count" => wanted.is_counted = true,
            "limit" => wanted.records_max = Some(options::number(name, value)?),
            "max-bytes" => wanted.bytes_max = Some(options::number(name, value)?),
            _ => store = Some(value),
        }
    }
    let is_begun = lines.is_some() || wanted.from != From::default();
    if wanted.is_followed && !is_begun && cursor.is_none() && !is_inbox {
        lines = Some(Some(FOLLOW_LINES));
    }
    let lines = lines.flatten();
    if !files.is_empty() {
        return match of_journal {
            Some(option) => Err(not_for_files(option)),
            None => Ok(Request::Files { files, lines, is_followed: wanted.is_followed }),
        };
    }
    wanted.from.lines = lines;
    let peek = if is_peek || wanted.is_counted { Peek::Yes } else { Peek::No };
    wanted.reader = match (cursor, is_inbox) {
        (Some(_), true) => return Err(Failure::wrong("--inbox has a cursor of its own: not with --cursor")),
        (Some(name), false) => Some((Reader::Cursor(name), peek)),
        (None, true) => Some((Reader::Inbox { given: identity.take(), force: is_forced }, peek)),
        (None, false) => None,
    };
    let of_inbox = identity.map(|_| "as").or(is_forced.then_some("force"));
    check_reader(&wanted, is_begun, is_peek, of_inbox)?;
    Ok(Request::Journal { wanted, store })
}

/// Refuses what a reader cannot have, and what only one can.
fn check_reader(wanted: &Wanted, is_begun: bool, is_peek: bool, of_inbox: Option<&str>) -> Result<(), Failure> {
    let is_capped = wanted.records_max.is_some() || wanted.bytes_max.is_some();
    match &wanted.reader {
        Some((Reader::Cursor(_), _)) if is_begun => {
            Err(Failure::wrong("--cursor knows where to begin: not with -n, --from-seq or --since")
                .hint("to look back without moving the cursor, leave --cursor out"))
        }
        Some((Reader::Inbox { .. }, _)) if is_begun => {
            Err(Failure::wrong("--inbox knows where to begin: not with -n, --from-seq or --since")
                .hint("to look at what was read before:  swarm-tail -n 100 | swarm-filter --to ID"))
        }
        Some((Reader::Inbox { .. }, _)) if wanted.is_counted && wanted.is_followed => {
            Err(Failure::wrong("--count counts once: not with -f").hint("each message as it comes:  swarm-tail --inbox -f"))
        }
        Some((Reader::Inbox { .. }, _)) if wanted.is_counted && is_capped => {
            Err(Failure::wrong("--count counts all: not with --limit or --max-bytes"))
        }
        Some((Reader::Inbox { .. }, _)) => Ok(()),
        _ if wanted.is_counted => {
            Err(Failure::wrong("--count counts an inbox")
                .hint("swarm-tail --inbox --count\nany records:  swarm-tail | swarm-filter --count"))
        }
        reader => match of_inbox {
            Some(option) => Err(Failure::wrong(format!("--{option} is for --inbox")).hint("swarm-tail --inbox --as ID")),
            None if reader.is_none() && is_peek => {
                Err(Failure::wrong("--peek without a cursor").hint("--cursor NAME --peek, or --inbox --peek"))
            }
            None => Ok(()),
        },
    }
}

/// So many lines from the end, or `all`.
fn last(name: &str, value: OsString) -> Result<Option<u64>, Failure> {
    if value == "all" {
        return Ok(None);
    }
    if let Some(seq) = value.to_str().and_then(|text| text.strip_prefix('+')) {
        return Err(Failure::wrong(format!("-n +{seq}: counted from the end only")).hint(format!("from a seq on: --from-seq {seq}")));
    }
    options::number(name, value).map(Some)
}

fn not_for_files(option: &str) -> Failure {
    let hint = match option {
        "since" => "for a file: swarm-filter --since TIME FILE",
        "limit" => "for a file: swarm-tail FILE | head -n N",
        "inbox" | "as" => "for a file: swarm-filter --to ID FILE",
        _ => "for a file there are -n and -f",
    };
    Failure::wrong(format!("--{option} is for the journal, not for files")).hint(hint)
}
