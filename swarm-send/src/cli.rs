//! The command line of `swarm-send`: every option, written once, and what a call asks for. It opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};
use swarm_common::exit::{Exit, Failure};
use swarm_common::message::{self, Message};
use swarm_common::registry::Route;
use swarm_common::{ndjson, options, platform, time};

/// The program's name.
pub const NAME: &str = "swarm-send";

const WHAT: &str = "What it says";
const WHO: &str = "Who and where";
const DELIVERY: &str = "Delivery";
const STREAM: &str = "Records on standard input";

/// Accept messages: into the journal, on disk, to their recipients, then an answer
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = 100,
    override_usage = "swarm-send --to ID,... [OPTION...] TEXT   one message ('-': its text is stdin)\n       \
                      ... | swarm-send [OPTION...]            a record a line on stdin",
    after_help = "Example:  swarm-send --as agent-0 --to agent-1 --type question 'Which schema?'"
)]
pub struct Options {
    /// the text of one message; '-' takes all of standard input as the text
    #[arg(
        value_name = "TEXT",
        allow_hyphen_values = false,
        long_help = "The content of one message, at most 10,240 bytes of UTF-8. '-' takes all of standard input as the content, its last \
                     newline too. Without TEXT, and when standard input is no terminal, standard input is NDJSON: a record a line."
    )]
    pub text: Option<OsString>,

    /// who gets it: agents, @GROUP, or @all
    #[arg(
        long,
        value_name = "ID,...",
        value_delimiter = ',',
        help_heading = WHO,
        long_help = "Who gets it: agent ids and groups, separated by commas or given by several options; or @all, alone, for everybody. An id is \
                     1 to 64 letters, digits, '.', '_' and '-', and compares without regard to case. @GROUP is each agent that is registered in that \
                     group, is not gone, and is not the sender; the record names them. @all is delivered to each registered agent that is not gone, \
                     but the sender. As soon as one agent is registered, an id that nobody has is refused, and the nearest is named."
    )]
    pub to: Vec<String>,

    /// its type: question, review-request, blocked, completed, challenge, info (default), ack, or another word
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        help_heading = WHAT,
        long_help = "Its type, in upper or lower case: QUESTION, REVIEW-REQUEST, BLOCKED, COMPLETED, CHALLENGE, INFO (the default), ACK, or any \
                     other word of a letter and then letters, digits and '-', at most 32. DELIVERY, RETRY, ESCALATION, LOCKED, RELEASED, \
                     EXPIRED and STOLEN are the tools' own, and refused."
    )]
    pub msg_type: Option<String>,

    /// the conversation it belongs to
    #[arg(
        long,
        value_name = "NAME",
        help_heading = WHAT,
        long_help = "The conversation it belongs to: a line of text, at most 128 bytes."
    )]
    pub thread: Option<String>,

    /// the message that it answers
    #[arg(long, value_name = "MSG_ID", help_heading = WHAT, long_help = "The id of the message that it answers.")]
    pub reply_to: Option<String>,

    /// ask for an acknowledgement
    #[arg(long, help_heading = WHAT, long_help = "Ask each recipient for an acknowledgement: a message of type ACK whose reply_to is this one.")]
    pub ack: bool,

    /// send it again after each of these, while it is not acknowledged: 10s,30s
    #[arg(
        long,
        value_name = "SPAN,...",
        value_parser = span_ms,
        value_delimiter = ',',
        requires = "ack",
        help_heading = WHAT,
        long_help = "After how long each it is sent again while it is not acknowledged: 1 to 16 spans, with commas between them (10s,30s). Without it those of \
                     ack.retry (see swarm(7)) count."
    )]
    pub retry: Vec<u64>,

    /// tell these when it was not acknowledged after that: agents, @groups
    #[arg(
        long,
        value_name = "ID,...",
        value_delimiter = ',',
        requires = "ack",
        help_heading = WHAT,
        long_help = "Who is told when it was not acknowledged after that: agents and groups, with commas between them; may be repeated. A group is those who are in \
                     it then; the sender is told too. Without it those of ack.escalate are told (see swarm(7)): everybody, where nothing else is configured."
    )]
    pub escalate: Vec<String>,

    /// wait until all have acknowledged it
    #[arg(
        long,
        value_name = "SPAN",
        value_parser = span,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "forever",
        requires = "ack",
        conflicts_with_all = ["no_deliver", "dry_run"],
        help_heading = WHAT,
        long_help = "Wait until all who are asked have acknowledged it, and no longer than SPAN (--wait=10m), if one is given. The status is then 0; 1 where it \
                     was escalated, or the time is out. A line on standard output says which, and who is missing. For one message, not for a stream."
    )]
    pub wait: Option<Wait>,

    /// a JSON object that goes with the text
    #[arg(
        long,
        value_name = "JSON",
        help_heading = WHAT,
        long_help = "A JSON object that goes with the text, for programs. The whole record has at most 65,536 bytes and is nested at most 32 deep."
    )]
    pub data: Option<String>,

    /// its id: sent again under the same id, it is stored once
    #[arg(
        long,
        value_name = "MSG_ID",
        help_heading = WHAT,
        long_help = "Its id, for a safe retry: when this sender's message of that id is stored already, nothing new is stored, and the answer tells \
                     the first one's seq. At most 128 letters, digits, '.', '_', ':' and '-'. Without it a UUIDv7 is made."
    )]
    pub id: Option<String>,

    /// who I am (default: $SWARM_AGENT, else this pane's agent)
    #[arg(
        long = "as",
        value_name = "ID",
        help_heading = WHO,
        long_help = "Who I am. Without it: $SWARM_AGENT, else the agent that is registered in this tmux pane (see swarm-agents(1)); to be another than that \
                     one is refused. A record on standard input brings its own sender_id where none of the three says it; where one does, another's \
                     sender_id is refused."
    )]
    pub own: Option<String>,

    /// send a record of another sender all the same; the record says so
    #[arg(
        long,
        help_heading = WHO,
        long_help = "Send records that name another sender than me all the same, or be another than this pane's agent. The record then says who did it, in \
                     forced_by."
    )]
    pub force: bool,

    /// journal only: type nothing, and write down no outcome
    #[arg(
        long,
        help_heading = DELIVERY,
        long_help = "Put it into the journal, and do no more: nothing is typed, and no DELIVERY record is written. Its recipients find it in their \
                     inboxes."
    )]
    pub no_deliver: bool,

    /// pane, wake or inbox, whatever the recipients' own routes are
    #[arg(
        long,
        value_name = "ROUTE",
        value_parser = route,
        help_heading = DELIVERY,
        long_help = "Deliver by this route, whatever the recipients' own are: pane (the message is typed into the agent's pane), wake (only a line \
                     that says that there is something to read), inbox (nothing is typed). An agent without a pane has an inbox only."
    )]
    pub route: Option<Route>,

    /// take recipients that nobody has registered yet
    #[arg(
        long,
        help_heading = DELIVERY,
        long_help = "Accept recipients that nobody has registered: the message waits for who is yet to come."
    )]
    pub allow_unknown: bool,

    /// store nothing, type nothing: say who would get it, and how
    #[arg(
        long,
        conflicts_with = "no_deliver",
        help_heading = DELIVERY,
        long_help = "Store nothing and type nothing: check each message, and say who would get it, and by which route."
    )]
    pub dry_run: bool,

    /// deliver now what is queued, and say what became of it
    #[arg(
        long,
        conflicts_with_all = ["text", "to", "msg_type", "thread", "reply_to", "ack", "retry", "escalate", "wait", "data", "id", "own", "force", "no_deliver", "route",
            "allow_unknown", "dry_run", "reject", "strict"],
        help_heading = DELIVERY,
        long_help = "Send nothing, but deliver what is queued: the oldest first, each at most once, however lately it was tried. A line for each that \
                     was tried says what became of it. What its recipient has read or acknowledged since is left out."
    )]
    pub retry_queued: bool,

    /// the swarm's store (default: $SWARM_STORE, else .swarm)
    #[arg(
        long,
        value_name = "DIR",
        help_heading = WHO,
        long_help = "The store's directory. Without it: $SWARM_STORE, else the nearest .swarm upwards from the current directory, else one created \
                     beside .git (see swarm(7))."
    )]
    pub store: Option<OsString>,

    /// append refused lines to FILE, raw, and call it success
    #[arg(
        long,
        value_name = "FILE",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with = "text",
        help_heading = STREAM,
        long_help = "Append every refused line to FILE, byte for byte. Refused lines are then expected: they are still answered and told on \
                     standard error, but do not change the exit status."
    )]
    pub reject: Option<String>,

    /// stop at the first refused line
    #[arg(
        long,
        conflicts_with = "text",
        help_heading = STREAM,
        long_help = "Stop at the first refused line, with its status; what was accepted before it stays accepted."
    )]
    pub strict: bool,

    /// no answers on standard output
    #[arg(short, long, help_heading = STREAM, long_help = "Print no answers: the exit status says whether all went through.")]
    pub quiet: bool,

    /// this page
    #[arg(short, long, action = ArgAction::HelpShort, help_heading = "Else", long_help = "Print a page of help and exit.")]
    pub help: Option<bool>,

    /// the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Else", long_help = "Print the version and exit.")]
    pub version: Option<bool>,
}

/// The command line, for the man page and the completions.
pub fn command() -> clap::Command {
    Options::command()
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// One message with this text.
    Text(String),
    /// One message whose text is all of standard input.
    TextFromStdin,
    /// Records on standard input.
    Records,
    /// No new message: what is queued.
    Queue,
}

/// How far a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// To its recipients.
    Deliver,
    /// Into the journal.
    Store,
    /// Nowhere: it is said where it would go.
    DryRun,
}

/// That acknowledgements are waited for: no longer than this, if there is a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

fn span_ms(text: &str) -> Result<u64, String> {
    let span = time::span(text).map_err(|failure| format!("{} ({})", failure.what, failure.hint))?;
    Ok(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn span(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(Wait(None));
    }
    time::span(text).map(|span| Wait(Some(span))).map_err(|failure| format!("{} ({})", failure.what, failure.hint))
}

fn route(word: &str) -> Result<Route, String> {
    Route::parse(word).ok_or_else(|| "pane, wake or inbox".into())
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the messages come from.
    pub input: Input,
    /// What a record leaves out is taken from here; `sender_id` is not set.
    pub defaults: Message,
    /// `--as`.
    pub own: Option<String>,
    /// Another sender's records are sent all the same.
    pub is_forced: bool,
    /// How far it goes.
    pub deed: Deed,
    /// By this route.
    pub route: Option<Route>,
    /// Who is not registered may be written to.
    pub allows_unknown: bool,
    /// Its acknowledgements are waited for.
    pub wait: Option<Wait>,
    /// `--store`.
    pub store: Option<OsString>,
    /// Where refused lines are kept.
    pub reject: Option<PathBuf>,
    /// The first refused line ends it.
    pub is_strict: bool,
    /// No answers are printed.
    pub is_quiet: bool,
}

/// Runs the program.
///
/// # Errors
/// As [`crate::send`]; status 2 for a wrong call.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<Exit, Failure> {
    // Before anything is written, be it into the store.
    platform::survive_file_size_limit();
    match Options::try_parse_from(args) {
        Ok(options) => crate::send(request(options)?),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            ndjson::print(&error.render().to_string())
        }
        Err(error) => Err(options::wrong_call(NAME, &error.render().to_string())),
    }
}

/// Understands what was given.
///
/// # Errors
/// Status 2 for a value that can't be what its option wants.
pub fn request(options: Options) -> Result<Request, Failure> {
    let input = match options.text {
        None if options.retry_queued => Input::Queue,
        None => Input::Records,
        Some(text) if text == "-" => Input::TextFromStdin,
        Some(text) => Input::Text(text.into_string().map_err(|_| Failure::wrong("the text is not UTF-8"))?),
    };
    if input == Input::Records && options.id.is_some() {
        return Err(
            Failure::wrong("--id names one message, and standard input may bring many").hint("give each record a msg_id of its own")
        );
    }
    if input == Input::Records && options.wait.is_some() {
        return Err(Failure::wrong("--wait is for one message, and standard input may bring many")
            .hint("afterwards, for each:  swarm-ack wait MSG_ID"));
    }
    options.msg_type.as_deref().map_or(Ok(()), message::check_type)?;
    let defaults = Message {
        msg_id: options.id,
        msg_type: options.msg_type,
        recipients: (!options.to.is_empty()).then_some(options.to),
        requires_ack: options.ack.then_some(true),
        retry_ms: (!options.retry.is_empty()).then_some(options.retry),
        escalate: (!options.escalate.is_empty()).then_some(options.escalate),
        reply_to: options.reply_to,
        thread: options.thread,
        data: options.data.as_deref().map(message::parse_data).transpose()?,
        ..Message::default()
    };
    let deed = match (options.dry_run, options.no_deliver) {
        (true, _) => Deed::DryRun,
        (_, true) => Deed::Store,
        _ => Deed::Deliver,
    };
    Ok(Request {
        input,
        deed,
        route: options.route,
        allows_unknown: options.allow_unknown,
        defaults,
        own: options.own,
        is_forced: options.force,
        wait: options.wait,
        store: options.store,
        reject: options.reject.map(PathBuf::from),
        is_strict: options.strict,
        is_quiet: options.quiet,
    })
}
