//! The command line of `swarm-lock`: every option, written once. It opens nothing.

use std::ffi::OsString;
use std::process::ExitCode;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::{ndjson, options, platform};

use crate::{commands, gate};

/// The program's name.
pub const NAME: &str = "swarm-lock";

/// The span of a lease where none is given.
pub const TTL: &str = "5m";

const WHAT: &str = "What is asked for";
const WHO: &str = "Who and where";

/// Leases on paths and globs: who may edit what, for how long
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    propagate_version = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Example:  swarm-lock acquire --as agent-1 'src/auth/**'\n          swarm-lock run --as agent-1 src/auth -- make test\n\
                  Each command has its own page: swarm-lock acquire --help"
)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

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
    /// take a lease on all of these, or on none
    Acquire(Acquire),
    /// give back what one holds
    Release(Release),
    /// hold one's leases for longer
    Renew(Renew),
    /// hold a lease while a command runs
    Run(Run),
    /// would anybody be in the way?
    Who(Who),
    /// the leases there are
    List(List),
    /// does that grant still stand?
    Check(Check),
    /// have two patterns a path in common?
    Overlap(Overlap),
    /// remove what has ended
    Sweep(Sweep),
    /// take over the locks of the Python program
    Import(Import),
}

/// Who calls, and in which swarm.
#[derive(Clone, Debug, Args)]
pub struct Caller {
    /// who I am (default: $SWARM_AGENT, else this pane's agent)
    #[arg(
        long = "as",
        value_name = "ID",
        help_heading = WHO,
        long_help = "Who I am. Without it: $SWARM_AGENT, else the agent that is registered in this tmux pane (see swarm-agents(1)). To be another than that one \
                     is refused."
    )]
    pub own: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// In another's name.
#[derive(Clone, Copy, Debug, Args)]
pub struct Insist {
    /// be another than this pane's agent all the same
    #[arg(long, help_heading = WHO, long_help = "Be another than the agent that is registered in this tmux pane all the same. The journal says who did it, in forced_by.")]
    pub force: bool,
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

/// How names come from standard input.
#[derive(Clone, Debug, Args)]
pub struct Names {
    /// '-' reads names that end with a NUL
    #[arg(
        short = '0',
        long = "null",
        help_heading = WHAT,
        long_help = "With '-': the names on standard input end with a NUL, as git diff -z writes them, and are taken as they are. Without it they end with a \
                     newline, and a CR before that is taken off."
    )]
    pub null: bool,
}

/// How arguments are read.
#[derive(Clone, Debug, Args)]
pub struct Reading {
    /// every character is itself: no globs
    #[arg(
        long,
        help_heading = WHAT,
        long_help = "Take every argument literally. An argument that names an existing file is, also without this; overlap looks at no files."
    )]
    pub literal: bool,
}

/// How long a lease lasts.
#[derive(Clone, Debug, Args)]
pub struct Span {
    /// for so long, unless it is renewed (default: 5m)
    #[arg(
        long,
        value_name = "SPAN",
        default_value = TTL,
        hide_default_value = true,
        help_heading = WHAT,
        long_help = "The lease ends after this span from now, unless it is renewed before: 30s, 5m, 1h30m; from 1ms to 30d. 5m without it. None is made \
                     shorter than it is."
    )]
    pub ttl: String,
}

/// How a lease is asked for.
#[derive(Clone, Debug, Args)]
pub struct Asking {
    /// others may hold it too, shared
    #[arg(long, help_heading = WHAT, long_help = "Hold it together with others who ask for it shared: for reading. Who asks for it alone waits until all have given it back.")]
    pub shared: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub span: Span,

    /// wait until it is free, at most so long
    #[arg(
        long,
        value_name = "SPAN",
        num_args = 0..=1,
        require_equals = true,
        help_heading = WHAT,
        long_help = "Wait in the queue until it is free, at most this span (written with '=': --wait=5m), or without one for as long as it takes. First \
                     come, first served. A wait that would close a circle of agents who wait for each other is refused at once."
    )]
    pub wait: Option<Option<String>>,

    /// what for; others see it
    #[arg(long, value_name = "TEXT", help_heading = WHAT, long_help = "What for: a line of at most 500 bytes, which those who are refused are shown.")]
    pub reason: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
}

/// `acquire`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock acquire --as agent-1 --reason OAuth 'src/auth/**' docs")]
pub struct Acquire {
    /// paths and globs; '-' reads them from standard input, one a line
    #[arg(
        value_name = "PATH",
        required = true,
        long_help = "A path, which covers everything below it too, or a glob. '-' reads them from standard input, one a line."
    )]
    pub paths: Vec<OsString>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub asking: Asking,

    /// it ends with this process
    #[arg(
        long,
        value_name = "PID",
        value_parser = whole::<u32>,
        help_heading = WHAT,
        long_help = "The lease ends, at the latest, when this process does. It has to be alive."
    )]
    pub pid: Option<u32>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub names: Names,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub insist: Insist,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// Which of one's leases.
#[derive(Debug, Args)]
pub struct Chosen {
    /// paths and globs, as they were asked for; '-' reads them from standard input
    #[arg(
        value_name = "PATH",
        long_help = "Paths and globs, written as when they were asked for. A part of a lease can be named; the rest stays. '-' \
                     reads them from standard input, one a line."
    )]
    pub paths: Vec<OsString>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub names: Names,

    /// the grant of this token
    #[arg(long, value_name = "N", value_parser = whole::<u64>, conflicts_with_all = ["paths", "all"], help_heading = WHAT, long_help = "The grant that has this fencing token.")]
    pub token: Option<u64>,

    /// all of them
    #[arg(long, conflicts_with = "paths", help_heading = WHAT, long_help = "All that I hold.")]
    pub all: bool,
}

/// `release`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock release --as agent-1 'src/auth/**'")]
pub struct Release {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub chosen: Chosen,

    /// take it from another, who is told; needs --reason
    #[arg(
        long,
        requires = "reason",
        help_heading = WHAT,
        long_help = "Take away what another holds. The journal has it as STOLEN, and its holder is told at its next call. Needs --reason. Also to be another than \
                     the agent that is registered in this tmux pane: the journal says who did it, in forced_by."
    )]
    pub force: bool,

    /// why it is taken away
    #[arg(long, value_name = "TEXT", requires = "force", help_heading = WHAT, long_help = "Why it is taken away: a line of at most 500 bytes, which its holder is shown.")]
    pub reason: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// `renew`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock renew --as agent-1 --all --ttl 15m")]
pub struct Renew {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub chosen: Chosen,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub span: Span,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub insist: Insist,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// `run`
#[derive(Debug, Args)]
#[command(
    override_usage = "swarm-lock run [OPTION...] PATH... -- COMMAND...",
    after_help = "Example:  swarm-lock run --as agent-1 --wait=1m src/auth -- make test"
)]
pub struct Run {
    /// paths and globs
    #[arg(value_name = "PATH", required = true, long_help = "A path, which covers everything below it too, or a glob.")]
    pub paths: Vec<OsString>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub asking: Asking,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub insist: Insist,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,

    /// the command and its arguments
    #[arg(
        value_name = "COMMAND",
        last = true,
        required = true,
        long_help = "The command and its arguments. It has the grant's token in SWARM_LOCK_TOKEN, and the holder's id in SWARM_AGENT: what it calls \
                     is the same agent. Its status is passed on, 128 + N where signal N ended it; 127 when it was not found, 126 when it \
                     cannot be started, 75 when the lease was not granted."
    )]
    pub command: Vec<OsString>,
}

/// `who`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock who src/auth/login.rs || echo 'not now'")]
pub struct Who {
    /// paths and globs; '-' reads them from standard input, one a line
    #[arg(
        value_name = "PATH",
        required = true,
        long_help = "A path, which covers everything below it too, or a glob. '-' reads them from standard input, one a line."
    )]
    pub paths: Vec<OsString>,

    /// ask for those who would not share it
    #[arg(long, help_heading = WHAT, long_help = "Those alone who would be in the way of who asks for it shared.")]
    pub shared: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub names: Names,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// `list`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock list --agent agent-1 | jq -r '.paths[]'")]
pub struct List {
    /// those that touch one of these paths or globs
    #[arg(value_name = "PATH", long_help = "The leases that have a path in common with one of these. All without it.")]
    pub paths: Vec<OsString>,

    /// those of one agent
    #[arg(long, value_name = "ID", help_heading = WHAT, long_help = "The leases of this agent alone.")]
    pub agent: Option<String>,

    /// those that have ended and lie there yet
    #[arg(long, help_heading = WHAT, long_help = "Instead of those in force, the leases that have ended and that nobody has swept yet.")]
    pub expired: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `check`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock check dist/app.tar && mv app.new dist/app.tar")]
pub struct Check {
    /// paths and globs that it has to cover
    #[arg(
        value_name = "PATH",
        required = true,
        long_help = "What the grant has to cover. One line answers where it covers all of it; else there is a line for each path that it does not."
    )]
    pub paths: Vec<OsString>,

    /// the grant (default: $SWARM_LOCK_TOKEN)
    #[arg(long, value_name = "N", value_parser = whole::<u64>, help_heading = WHAT, long_help = "The grant's fencing token. Without it: $SWARM_LOCK_TOKEN, which run sets.")]
    pub token: Option<u64>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `overlap`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock overlap 'src/[a-m]*.rs' '**/lib.rs'")]
pub struct Overlap {
    /// a path or glob
    #[arg(value_name = "A")]
    pub a: OsString,

    /// another
    #[arg(value_name = "B")]
    pub b: OsString,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
}

/// `sweep`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock sweep")]
pub struct Sweep {
    /// forget what damaged files may have held
    #[arg(long, help_heading = WHAT, long_help = "Forget what files of the table that could not be read may have held. They stay in the store's locks/damaged.")]
    pub damaged: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `import`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-lock import .agent_locks")]
pub struct Import {
    /// the directory of its locks
    #[arg(
        value_name = "DIR",
        long_help = "The directory with the Python program's .lock files, which stay as they are. Each lock that is not older than its 300 s becomes an exclusive \
                     lease of its agent for what is left of them, the oldest first; its pattern becomes the one of ours that matches the same paths, relative to \
                     the directory above this one. Of those that were granted together though they overlap the oldest is taken over, and the others are answered \
                     as conflicts. Status 1 when anything but stale locks was left out."
    )]
    pub dir: OsString,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// A number, with plain words for what is none.
fn whole<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.parse().map_err(|_| "not a whole number, or too large a one")
}

/// The command line, for the man page and the completions.
pub fn command() -> clap::Command {
    Options::command()
}

/// Runs the program. `run` alone ends with statuses of its own.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // No user's command: what run starts is not to take the time that options take.
    if let [_, word, gate, parent, command @ ..] = args.as_slice()
        && word == gate::WORD
    {
        return commands::shim(gate, parent, command);
    }
    // Also where nothing is printed: a table that cannot grow is an error like any other.
    platform::survive_file_size_limit();
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => return exit::finish(NAME, told(&error)),
    };
    match options.command {
        Command::Run(run) => commands::run(run),
        command => exit::finish(NAME, commands::plain(command)),
    }
}

/// What clap has to say.
fn told(error: &clap::Error) -> Result<Exit, Failure> {
    let words = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp => ndjson::print(&words),
        // Of a command, clap would call it by a name of its own.
        ErrorKind::DisplayVersion => ndjson::print(&format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let commands = command();
            let names: Vec<&str> =
                commands.get_subcommands().filter(|command| !command.is_hide_set()).map(|command| command.get_name()).collect();
            Err(Failure::wrong(format!("which command? {}", names.join(", "))).hint(format!("see {NAME} --help")))
        }
        _ => Err(options::wrong_call(NAME, &words)),
    }
}
