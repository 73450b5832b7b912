//! The command line of `swarm-ack`: every option, written once. It opens nothing.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use swarm_common::exit::{Exit, Failure};
use swarm_common::{ndjson, options, platform, time};

use crate::{acknowledge, commands, import, watch};

/// The program's name.
pub const NAME: &str = "swarm-ack";

const WHAT: &str = "What";
const WHO: &str = "Who and where";

/// Acknowledge messages, and see what waits for it
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    propagate_version = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    override_usage = "swarm-ack [OPTION...] MSG_ID...     ('-': ids or records on standard input)\n       swarm-ack [OPTION...] --seq N",
    after_help = "Example:  swarm-tail --inbox | swarm-ack -\nEach command has its own page: swarm-ack wait --help"
)]
pub struct Options {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub ack: Ack,

    /// What else to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// this page
    #[arg(short, long, global = true, action = ArgAction::HelpShort, help_heading = "Else", long_help = "Print a page of help and exit.")]
    pub help: Option<bool>,

    /// the version
    #[arg(short = 'V', long, global = true, action = ArgAction::Version, help_heading = "Else", long_help = "Print the version and exit.")]
    pub version: Option<bool>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// what waits, for whom
    Pending(Pending),
    /// the whole story of a message
    Status(Status),
    /// wait until all have acknowledged a message
    Wait(Wait),
    /// do what is due, once: send again, escalate
    Tick(Tick),
    /// do what falls due, as long as it runs
    Watch(Watch),
    /// take over what waits in the Python program
    Import(Import),
}

/// In which swarm.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// the swarm's store (default: $SWARM_STORE, else .swarm)
    #[arg(
        long,
        value_name = "DIR",
        help_heading = WHO,
        long_help = "The store's directory. Without it: $SWARM_STORE, else the nearest .swarm upwards from the current directory, else one created \
                     beside .git (see swarm(7))."
    )]
    pub store: Option<OsString>,
}

/// Without a command.
#[derive(Debug, Args)]
pub struct Ack {
    /// the messages to acknowledge; '-' alone: ids or whole records on standard input
    #[arg(
        value_name = "MSG_ID",
        long_help = "The messages to acknowledge, by their ids. '-', alone, takes them from standard input, one a line: ids, or whole records, as \
                     swarm-tail prints them. Of records those count that ask me and that I have not acknowledged; the others are passed over."
    )]
    pub ids: Vec<OsString>,

    /// the message of this number
    #[arg(long, value_name = "N", value_parser = whole, help_heading = WHAT, long_help = "The message with this seq. May be repeated, and come with ids.")]
    pub seq: Vec<u64>,

    /// a text that goes with it
    #[arg(short, long = "message", value_name = "TEXT", help_heading = WHAT, long_help = "A text that goes with each acknowledgement, at most 10,240 bytes.")]
    pub message: Option<String>,

    /// who I am (default: $SWARM_AGENT, else this pane's agent)
    #[arg(long = "as", value_name = "ID", help_heading = WHO, long_help = "Who I am. Without it: $SWARM_AGENT, else the agent that is registered in this tmux pane.")]
    pub own: Option<String>,

    /// be another than this pane's agent; the record says so
    #[arg(long, help_heading = WHO, long_help = "Be another than this pane's agent all the same. The record then says who did it, in forced_by.")]
    pub force: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `pending`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-ack pending --overdue | jq -r '.agent_id'")]
pub struct Pending {
    /// what waits for this agent alone
    #[arg(long = "for", value_name = "ID", help_heading = WHAT, long_help = "Only what waits for this agent to acknowledge it.")]
    pub agent: Option<String>,

    /// what this agent sent alone
    #[arg(long, value_name = "ID", help_heading = WHAT, long_help = "Only what this agent sent.")]
    pub from: Option<String>,

    /// what is late alone
    #[arg(long, help_heading = WHAT, long_help = "Only what was not acknowledged in time (ack.retry, see swarm(7)).")]
    pub overdue: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `status`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-ack status 01997a34-5b77-7c43-9d5e-0242ac120002")]
pub struct Status {
    /// the message
    #[arg(value_name = "MSG_ID", long_help = "The message's id.")]
    pub msg_id: String,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `wait`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-ack wait --timeout 10m \"$id\" && make deploy")]
pub struct Wait {
    /// the message
    #[arg(value_name = "MSG_ID", long_help = "The message's id.")]
    pub msg_id: String,

    /// wait no longer than this
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = WHAT, long_help = "Wait no longer than this: 30s, 5m, 1h30m. Without it: as long as it takes.")]
    pub timeout: Option<Duration>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `tick`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-ack tick | jq -r .status | sort | uniq -c")]
pub struct Tick {
    /// no more than so many messages (default: 1000)
    #[arg(
        long,
        value_name = "N",
        value_parser = count,
        default_value = "1000",
        hide_default_value = true,
        help_heading = WHAT,
        long_help = "Send again, or escalate, no more than so many messages, the oldest first; what is left is the next call's. 1000 where it is left out."
    )]
    pub max: usize,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `watch`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-ack watch >>acks.log &")]
pub struct Watch {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `import`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-ack import PENDING_ACKS.json")]
pub struct Import {
    /// its PENDING_ACKS.json
    #[arg(
        value_name = "FILE",
        long_help = "The Python program's PENDING_ACKS.json, which stays as it is. Each message is stored under the id that it has, and waits on from the try at which \
                     it is; nothing is typed. Imported again, nothing is stored twice. Status 1 when an entry was left out."
    )]
    pub file: OsString,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

fn count(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|&count| count > 0).ok_or("not a whole number from 1")
}

/// A number, with plain words for what is none.
fn whole(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|&seq| seq > 0).ok_or("not a whole number from 1")
}

fn span(text: &str) -> Result<Duration, String> {
    time::span(text).map_err(|failure| format!("{} ({})", failure.what, failure.hint))
}

/// The command line, for the man page and the completions.
pub fn command() -> clap::Command {
    Options::command()
}

/// Runs the program.
///
/// # Errors
/// Status 1 for a no, 2 for a wrong call, 3 when the system failed.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<Exit, Failure> {
    // Before anything is written.
    platform::survive_file_size_limit();
    match Options::try_parse_from(args) {
        Ok(options) => match options.command {
            None => acknowledge::acknowledge(options.ack),
            Some(Command::Pending(options)) => commands::pending(&options),
            Some(Command::Status(options)) => commands::status(&options),
            Some(Command::Wait(options)) => commands::wait(&options),
            Some(Command::Tick(options)) => commands::tick(&options),
            Some(Command::Watch(options)) => watch::watch(&options),
            Some(Command::Import(options)) => import::import(&options),
        },
        Err(error) => told(&error),
    }
}

/// What clap has to say.
fn told(error: &clap::Error) -> Result<Exit, Failure> {
    let words = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp => ndjson::print(&words),
        // Of a command, clap would call it by a name of its own.
        ErrorKind::DisplayVersion => ndjson::print(&format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        _ => Err(options::wrong_call(NAME, &words)),
    }
}
