//! The command line of `swarm-agents`: every option, written once. It opens nothing.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use swarm_common::exit::{Exit, Failure};
use swarm_common::{ndjson, options, platform};

use crate::{commands, discover, doctor, import, register, watch};

/// The program's name.
pub const NAME: &str = "swarm-agents";

const WHERE: &str = "Where it is to be found";
const WHAT: &str = "What it is";
const WHO: &str = "Who and where";

/// Who is here: register, list, watch
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    propagate_version = true,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Example:  swarm-agents register agent-1 --group backend\n          swarm-agents list --alive | jq -r .agent_id\n\
                  Each command has its own page: swarm-agents register --help"
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
    /// say who is in this pane
    Register(Register),
    /// forget an agent
    Unregister(Unregister),
    /// the agents there are
    List(List),
    /// which agent am I?
    Whoami(Whoami),
    /// I am alive
    Beat(Beat),
    /// tell of who comes, goes or changes
    Watch(Watch),
    /// forget those who are gone
    Prune(Prune),
    /// find the agents in tmux panes
    Discover(Discover),
    /// what is wrong, and what to do
    Doctor(Doctor),
    /// take over the registry of the Python program
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

/// Who calls, and in which swarm.
#[derive(Clone, Debug, Args)]
pub struct Caller {
    /// who I am (default: $SWARM_AGENT, else this pane's agent)
    #[arg(long = "as", value_name = "ID", help_heading = WHO, long_help = "Who I am. Without it: $SWARM_AGENT, else the agent that is registered in this pane.")]
    pub own: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// Which tmux server.
#[derive(Clone, Debug, Default, Args)]
pub struct Server {
    /// the tmux server of this name
    #[arg(
        short = 'L',
        long = "tmux-name",
        value_name = "NAME",
        conflicts_with = "socket",
        help_heading = WHERE,
        long_help = "The tmux server of this name, as tmux -L calls it. Without it and -S: the one that this pane belongs to, else tmux's default."
    )]
    pub name: Option<OsString>,

    /// the tmux server behind this socket
    #[arg(short = 'S', long = "tmux-socket", value_name = "PATH", help_heading = WHERE, long_help = "The tmux server behind this socket, as tmux -S takes it.")]
    pub socket: Option<OsString>,
}

/// `register`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents register agent-1 --group backend --description 'the database'")]
pub struct Register {
    /// the agent's id
    #[arg(
        value_name = "ID",
        long_help = "What the agent is called: 1 to 64 letters, digits, '.', '_' and '-'; upper or lower case makes no difference. Registered again, it is found anew: \
                     its pane, process, route and --shell-ok are those of this call. Its groups, description and kind stay where this call does not name others."
    )]
    pub id: String,

    /// its tmux pane (default: this one)
    #[arg(long, value_name = "%N", help_heading = WHERE, long_help = "Its tmux pane, by the id that tmux gave it: %3. Without it: the pane that this call is made in, if it is one.")]
    pub pane: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: Server,

    /// pane: typed there; wake: one line typed there; inbox: it looks itself
    #[arg(
        long,
        value_name = "ROUTE",
        help_heading = WHERE,
        long_help = "How it gets its messages. pane: they are typed into its pane. wake: one short line is typed there, and the agent reads them itself. inbox: nothing is typed; it \
                     reads them itself. Without it: pane where there is a pane, else inbox."
    )]
    pub route: Option<String>,

    /// what is typed may reach a shell
    #[arg(
        long,
        help_heading = WHERE,
        long_help = "Type also where the pane's foreground program is a shell. Without it nothing is ever typed at a prompt, where it would be run as a command."
    )]
    pub shell_ok: bool,

    /// the process that it lives as long as
    #[arg(
        long,
        value_name = "PID",
        value_parser = whole,
        help_heading = WHERE,
        long_help = "The process that it lives as long as: when that ends, the agent is gone. It has to be alive. Without it: the agent CLI that this call comes from, or that \
                     runs in the pane; else the pane's own process; outside tmux, none, and the agent counts as stale when it was not heard of for [agents] stale_after (see swarm(7))."
    )]
    pub pid: Option<u32>,

    /// a group it belongs to; may be repeated
    #[arg(
        short,
        long,
        value_name = "NAME",
        help_heading = WHAT,
        long_help = "A group that it belongs to, named like an agent: swarm-send --to @NAME writes to all of a group. May be repeated; together they take the \
                     place of those it had, and an empty one alone is none."
    )]
    pub group: Vec<String>,

    /// what it is there for
    #[arg(long, value_name = "TEXT", help_heading = WHAT, long_help = "What it is there for: a line of at most 200 bytes. An empty one is none.")]
    pub description: Option<String>,

    /// which agent CLI it is, like claude
    #[arg(
        long,
        value_name = "NAME",
        help_heading = WHAT,
        long_help = "Which agent CLI it is: the [delivery.NAME] section of config.toml that says how one types to it. Without it: as its process is called."
    )]
    pub kind: Option<String>,

    /// take an id or a pane from an agent that has it
    #[arg(
        long,
        help_heading = WHO,
        long_help = "Take the id from an agent that has it elsewhere, or the pane from the agent that is registered there, which is then unregistered. Without it that \
                     is refused, with status 1, unless that agent is gone."
    )]
    pub force: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `unregister`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents unregister agent-1")]
pub struct Unregister {
    /// who (default: me)
    #[arg(value_name = "ID", long_help = "Whom to forget. Without it: me. Status 1 when one of them is not registered.")]
    pub ids: Vec<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// `list`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents list --alive | jq -r '.agent_id + \" \" + (.pane // \"-\")'")]
pub struct List {
    /// those alone who are not gone
    #[arg(long, help_heading = WHAT, long_help = "Those who are active or stale, and not those who are gone.")]
    pub alive: bool,

    /// those of this group alone
    #[arg(short, long, value_name = "NAME", help_heading = WHAT, long_help = "The agents of this group alone.")]
    pub group: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `whoami`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents whoami | jq -r .agent_id")]
pub struct Whoami {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// `beat`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents beat --as agent-1")]
pub struct Beat {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub caller: Caller,
}

/// `watch`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents watch | swarm-filter --grep '\"event\":\"gone\"'")]
pub struct Watch {
    /// begin with those who are there
    #[arg(long, help_heading = WHAT, long_help = "Begin with a line for each who is registered now. Nothing is lost between these and what happens next.")]
    pub list: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `prune`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents prune")]
pub struct Prune {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// Which tmux servers.
#[derive(Clone, Debug, Default, Args)]
pub struct Servers {
    /// the tmux server of this name; may be repeated
    #[arg(
        short = 'L',
        long = "tmux-name",
        value_name = "NAME",
        help_heading = WHERE,
        long_help = "The tmux server of this name, as tmux -L calls it. May be repeated. Without it and -S: the one that this pane belongs to, else tmux's default."
    )]
    pub names: Vec<OsString>,

    /// the tmux server behind this socket; may be repeated
    #[arg(
        short = 'S',
        long = "tmux-socket",
        value_name = "PATH",
        help_heading = WHERE,
        long_help = "The tmux server behind this socket, as tmux -S takes it. May be repeated."
    )]
    pub sockets: Vec<OsString>,
}

/// `discover`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents discover --register --group backend")]
pub struct Discover {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub servers: Servers,

    /// the other panes too, and why they are none
    #[arg(long, help_heading = WHERE, long_help = "Show every pane: those in which no agent is found too, with the reason.")]
    pub all: bool,

    /// take them into the registry
    #[arg(
        long,
        help_heading = WHAT,
        long_help = "Register what is found. Who is registered in that pane and lives stays as it is; who has ended and was started again in the same pane keeps \
                     its id, groups and description; the others get the lowest free ids: agent-0, agent-1, and so on."
    )]
    pub register: bool,

    /// only show what --register would do
    #[arg(long, help_heading = WHAT, long_help = "Change nothing, and show what --register would do. So does a call without --register.")]
    pub dry_run: bool,

    /// a group that the new ones belong to; may be repeated
    #[arg(
        short,
        long,
        value_name = "NAME",
        help_heading = WHAT,
        long_help = "A group that they belong to, those who are registered now. May be repeated. Who keeps an id keeps the groups too, unless this names others."
    )]
    pub group: Vec<String>,

    /// how they get their messages: pane, wake or inbox
    #[arg(
        long,
        value_name = "ROUTE",
        help_heading = WHAT,
        long_help = "How those who are registered now get their messages, as with register. Without it: pane; who keeps an id keeps the route."
    )]
    pub route: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `doctor`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents doctor | jq 'select(.ok | not)'")]
pub struct Doctor {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub servers: Servers,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// `import`
#[derive(Debug, Args)]
#[command(after_help = "Example:  swarm-agents import ACTIVE_AGENTS.json")]
pub struct Import {
    /// its ACTIVE_AGENTS.json
    #[arg(
        value_name = "FILE",
        long_help = "The Python program's ACTIVE_AGENTS.json, which stays as it is. An agent whose pane is there yet, by the process that tmux started in it, is \
                     registered under its id; the others are answered as gone. Status 1 when anything else was left out."
    )]
    pub file: OsString,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: Server,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
}

/// A number, with plain words for what is none.
fn whole(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "not a whole number, or too large a one")
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
            Command::Register(options) => register::register(options),
            Command::Unregister(options) => commands::unregister(&options),
            Command::List(options) => commands::list(&options),
            Command::Whoami(options) => commands::whoami(&options),
            Command::Beat(options) => commands::beat(&options),
            Command::Watch(options) => watch::watch(&options),
            Command::Prune(options) => commands::prune(&options),
            Command::Discover(options) => discover::discover(&options),
            Command::Doctor(options) => doctor::doctor(&options),
            Command::Import(options) => import::import(&options),
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
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let commands = command();
            let names: Vec<&str> = commands.get_subcommands().map(|command| command.get_name()).collect();
            Err(Failure::wrong(format!("which command? {}", names.join(", "))).hint(format!("see {NAME} --help")))
        }
        _ => Err(options::wrong_call(NAME, &words)),
    }
}
