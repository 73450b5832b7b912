//! The commands: from options to a turn at the table, and from its outcome to answers.

use std::env::VarError;
use std::ffi::{OsStr, OsString};
use std::time::Instant;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::ndjson::Out;
use swarm_common::platform::Process;
use swarm_common::store::Store;
use swarm_common::{identity, time};

use crate::answer;
use crate::arguments::{given, limit, living, reason, ttl};
use crate::call;
use crate::cli::{self, Asking, Caller, Chosen, Command, NAME};
use crate::conflict::{Conflict, Why};
use crate::gate::TOKEN;
use crate::lease::{Mode, Standing};
use crate::leases::{Acquired, Done, Leases, Manner, Named, Request, Valid, Which};
use crate::overlap;
use crate::pattern::Pattern;
use crate::place::{self, Place};
use crate::table::Table;
use crate::table::agent::Notice;
use crate::wait;

/// Runs every command but `run`.
///
/// # Errors
/// Status 2 for a wrong call, 3 when the system failed.
pub fn plain(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Acquire(options) => acquire(options),
        Command::Release(options) => release(options),
        Command::Renew(options) => renew(options),
        Command::Who(options) => who(options),
        Command::List(options) => list(options),
        Command::Check(options) => check(options),
        Command::Overlap(options) => overlap(&options),
        Command::Sweep(options) => sweep(&options),
        Command::Import(options) => crate::import::import(&options),
        Command::Run(_) => Err(Failure::wrong("no plain command")),
    }
}

/// A swarm, for who takes part in it.
pub struct Swarm {
    /// Where paths are read from.
    pub place: Place,
    /// Its leases.
    pub leases: Leases,
}

impl Swarm {
    /// Opens the store, which is made where it is missing.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(options: &cli::Place) -> Result<Swarm, Failure> {
        Swarm::of(&Store::open(options.store.as_deref())?)
    }

    /// The same for who takes part under a name: whose is the second. With `force` it may be another's than the pane's.
    ///
    /// # Errors
    /// As [`Store::open`] and [`identity::who`]; status 2 too where nothing says who calls.
    pub fn open_as(caller: &Caller, force: bool) -> Result<(Swarm, String), Failure> {
        let store = Store::open(caller.place.store.as_deref())?;
        let (agent_id, forced_by) = identity::who(&store, caller.own.as_deref(), force)?.known()?;
        let Swarm { place, leases } = Swarm::of(&store)?;
        Ok((Swarm { place, leases: leases.forced_by(forced_by) }, agent_id))
    }

    /// The same for who only looks: nothing is made. None where there is no store yet.
    fn look(options: &cli::Place) -> Result<Option<Swarm>, Failure> {
        Store::open_to_read(options.store.as_deref())?.map(|store| Swarm::of(&store)).transpose()
    }

    fn of(store: &Store) -> Result<Swarm, Failure> {
        let config = &store.config().lock;
        let mut dir = store.dir().join("locks");
        if config.per_worktree
            && let Some(name) = store.worktree()
        {
            dir.push("worktrees");
            dir.push(name);
        }
        let journal = config.events.then(|| store.journal());
        Ok(Swarm { place: Place::of(store)?, leases: Leases::new(Table::at(dir), journal) })
    }
}

/// What there is to say besides the answers.
#[derive(Default)]
pub struct Aside {
    heard: Vec<Notice>,
}

impl Aside {
    /// Where an operation puts what its caller lost.
    pub fn heard(&mut self) -> &mut Vec<Notice> {
        &mut self.heard
    }

    /// Says it, on standard error, and then that it was said.
    pub fn say(&mut self, leases: &Leases, agent_id: &str) {
        hear(leases, agent_id, std::mem::take(&mut self.heard));
    }
}

/// Says what an agent lost. That it was said is put down afterwards: who is killed in between is told twice.
pub fn hear(leases: &Leases, agent_id: &str, notices: Vec<Notice>) {
    for notice in &notices {
        exit::say(NAME, &answer::notice(notice, time::now()));
    }
    if let Err(failure) = leases.told(agent_id, &notices) {
        exit::tell(NAME, &failure);
    }
}

/// Words for people, at once.
pub fn note(words: &str) {
    exit::say(NAME, words);
}

/// What a call of `acquire` or `run` asks for.
///
/// # Errors
/// Status 2 for what is wrong with it.
pub fn request(place: &Place, agent_id: String, asking: &Asking, paths: &[OsString], tie: Option<Process>) -> Result<Request, Failure> {
    let patterns = paths.iter().map(|path| place.pattern(path, asking.reading.literal)).collect::<Result<Vec<_>, _>>()?;
    Ok(Request {
        agent_id,
        mode: mode(asking.shared),
        patterns: place::checked(patterns)?,
        ttl: ttl(&asking.span.ttl)?,
        reason: reason(asking.reason.as_deref())?,
        tie,
        keeper: None,
    })
}

fn mode(is_shared: bool) -> Mode {
    if is_shared { Mode::Shared } else { Mode::Exclusive }
}

fn patterns(place: &Place, paths: &[OsString], is_literal: bool) -> Result<Vec<Pattern>, Failure> {
    paths.iter().map(|path| place.pattern(path, is_literal)).collect()
}

fn acquire(options: cli::Acquire) -> Result<Exit, Failure> {
    let cli::Acquire { paths, asking, pid, names, insist, caller } = &options;
    let wait = limit(asking.wait.as_ref(), paths)?;
    let tie = pid.map(living).transpose()?;
    let paths = given(paths.clone(), names)?;
    if paths.is_empty() {
        exit::say(NAME, "no paths on standard input: nothing to acquire");
        return Ok(Exit::Yes);
    }
    let (swarm, agent_id) = Swarm::open_as(caller, insist.force)?;
    let request = request(&swarm.place, agent_id, asking, &paths, tie)?;
    let since = Instant::now();
    let mut out = Out::stdout()?;
    let mut aside = Aside::default();
    let answer = match wait {
        None => swarm.leases.acquire(&request, Manner::Once, aside.heard(), &mut note),
        Some(limit) => {
            let hear = &mut |notices| hear(&swarm.leases, &request.agent_id, notices);
            wait::acquire(&swarm.leases, &request, limit, Some(out.fd()), hear, &mut note)
        }
    };
    aside.say(&swarm.leases, &request.agent_id);
    match answer? {
        Acquired::Granted { lease, expires_at, is_renewed } => {
            let told = out.line(&answer::granted(&lease, expires_at, is_renewed)).and_then(|()| out.flush());
            match told {
                Err(failure) if !failure.is_quiet() && !is_renewed => {
                    // The caller takes a failure for a no.
                    let which = Which::Grant(lease.token, lease.patterns);
                    swarm.leases.release(&request.agent_id, &which, None, aside.heard(), &mut note)?;
                    Err(failure.hint("the lease was given back"))
                }
                told => told.map(|()| Exit::Yes),
            }
        }
        Acquired::Refused(conflicts) => {
            tell(&conflicts, asking, since, || call::acquire(&options));
            stays(print(&mut out, "conflict", &conflicts), Exit::No)
        }
    }
}

/// The conflicts in words, of a call that asked `since` then: what to do is to wait, with the call that does it, unless it waited.
pub fn tell(conflicts: &[Conflict], asking: &Asking, since: Instant, again: impl FnOnce() -> String) {
    let (mut told, mut hints) = answer::words(conflicts, time::now());
    match (&asking.wait, conflicts.first().map(|first| &first.why)) {
        (None, Some(Why::Held | Why::Waiting)) => hints.insert(0, format!("wait for it:  {}", again())),
        // A circle is told at once.
        (Some(Some(span)), Some(_)) if time::span(span).is_ok_and(|span| span <= since.elapsed()) => {
            told[0] = format!("waited {span}: {}", told[0])
        }
        _ => {}
    }
    for (n, words) in told.iter().enumerate() {
        let is_last = n + 1 == told.len();
        exit::tell(NAME, &Failure::no(words).hint(if is_last { hints.join("\n") } else { String::new() }));
    }
}

/// The status, also where nobody reads the answers: a no is no yes for that.
fn stays(printed: Result<(), Failure>, exit: Exit) -> Result<Exit, Failure> {
    match printed {
        Err(failure) if !failure.is_quiet() => Err(failure),
        _ => Ok(exit),
    }
}

fn print(out: &mut Out, status: &str, conflicts: &[Conflict]) -> Result<(), Failure> {
    for conflict in conflicts {
        out.line(&answer::conflict(status, conflict))?;
    }
    out.flush()
}

/// For what reads no names from standard input: who writes '-' means it, and hardly a file of that name.
///
/// # Errors
/// Status 2: there is one.
pub fn check_typed(paths: &[OsString]) -> Result<(), Failure> {
    if paths.iter().any(|path| path == "-") {
        return Err(Failure::wrong("'-': paths are not read from standard input here").hint("a file of that name is ./-"));
    }
    Ok(())
}

fn release(options: cli::Release) -> Result<Exit, Failure> {
    let cli::Release { mut chosen, force, reason: why, caller } = options;
    let why = reason(why.as_deref())?;
    if force && why.trim().is_empty() {
        return Err(Failure::wrong("--reason has an empty value").hint("its holder is shown it"));
    }
    let (swarm, agent_id) = Swarm::open_as(&caller, force)?;
    if read_in(&mut chosen)? && chosen.paths.is_empty() {
        exit::say(NAME, "no paths on standard input: nothing to give back");
        return Ok(Exit::Yes);
    }
    let which =
        which(&swarm.place, &chosen)?.ok_or_else(|| Failure::wrong("which? Nothing was named").hint("paths, --token N or --all"))?;
    let mut aside = Aside::default();
    let done = swarm.leases.release(&agent_id, &which, force.then_some(why.as_str()), aside.heard(), &mut note);
    aside.say(&swarm.leases, &agent_id);
    finish(&agent_id, &done?, "released", Some(&caller), &chosen)
}

fn renew(options: cli::Renew) -> Result<Exit, Failure> {
    let cli::Renew { mut chosen, span, insist, caller } = options;
    let ttl = ttl(&span.ttl)?;
    let (swarm, agent_id) = Swarm::open_as(&caller, insist.force)?;
    if read_in(&mut chosen)? && chosen.paths.is_empty() {
        exit::say(NAME, "no paths on standard input: nothing to prolong");
        return Ok(Exit::Yes);
    }
    let which = which(&swarm.place, &chosen)?.unwrap_or(Which::All);
    let mut aside = Aside::default();
    let done = swarm.leases.renew(&agent_id, &which, ttl, aside.heard(), &mut note);
    aside.say(&swarm.leases, &agent_id);
    finish(&agent_id, &done?, "renewed", None, &chosen)
}

/// Takes the names from standard input, where '-' says so: true then.
fn read_in(chosen: &mut Chosen) -> Result<bool, Failure> {
    let is_stdin = chosen.paths == ["-"];
    chosen.paths = given(std::mem::take(&mut chosen.paths), &chosen.names)?;
    Ok(is_stdin)
}

fn which(place: &Place, chosen: &Chosen) -> Result<Option<Which>, Failure> {
    Ok(match chosen {
        Chosen { token: Some(token), .. } => Some(Which::Token(*token)),
        Chosen { all: true, .. } => Some(Which::All),
        Chosen { paths, .. } if paths.is_empty() => None,
        Chosen { paths, .. } => Some(Which::Paths(paths.iter().map(|path| place.named(path)).collect::<Result<Vec<Named>, _>>()?)),
    })
}

/// Answers what was given back or prolonged. What others hold, the `forcing` one could take away.
fn finish(agent_id: &str, done: &Done, status: &str, forcing: Option<&Caller>, chosen: &Chosen) -> Result<Exit, Failure> {
    let mut out = Out::stdout()?;
    for part in &done.parts {
        let status = if identity::is_same(&part.agent_id, agent_id) { status } else { "stolen" };
        out.line(&answer::part(status, part))?;
    }
    for (argument, holder) in &done.others {
        let mut failure = Failure::no(format!("{argument} is held by {}, not by you", holder.agent_id));
        if let Some(caller) = forcing {
            failure = failure.hint(format!("to take it away:  {}", call::force(chosen.token, argument, caller)));
        }
        exit::tell(NAME, &failure);
        out.line(&answer::refused(chosen.token, argument, Some(holder)))?;
    }
    for argument in &done.missing {
        let what = match chosen.token {
            Some(token) => format!("you hold no grant with the token {token}"),
            None => format!("{argument} is not held by you under that name"),
        };
        exit::tell(NAME, &Failure::no(what).hint("what is:  swarm-lock list"));
        out.line(&answer::refused(chosen.token, argument, None))?;
    }
    out.flush()?;
    if done.parts.is_empty() && done.others.is_empty() && done.missing.is_empty() {
        exit::say(NAME, "you hold no lease");
        // Of all, there are none: that is what --all wants.
        return Ok(if chosen.all { Exit::Yes } else { Exit::No });
    }
    Ok(if done.others.is_empty() && done.missing.is_empty() { Exit::Yes } else { Exit::No })
}

fn who(options: cli::Who) -> Result<Exit, Failure> {
    let cli::Who { paths, shared, reading, names, caller } = options;
    let paths = given(paths, &names)?;
    identity::said(caller.own.as_deref())?;
    let Some(store) = Store::open_to_read(caller.place.store.as_deref())? else { return Ok(Exit::Yes) };
    // Who only asks may ask for anybody.
    let agent_id = identity::who(&store, caller.own.as_deref(), true)?.own;
    let swarm = Swarm::of(&store)?;
    let patterns = patterns(&swarm.place, &paths, reading.literal)?;
    let conflicts = swarm.leases.who(agent_id.as_deref(), mode(shared), &patterns)?;
    stays(print(&mut Out::stdout()?, "held", &conflicts), if conflicts.is_empty() { Exit::Yes } else { Exit::No })
}

fn list(options: cli::List) -> Result<Exit, Failure> {
    let cli::List { paths, agent, expired, place } = options;
    check_typed(&paths)?;
    agent.as_deref().map_or(Ok(()), |agent| identity::check("--agent", agent))?;
    let Some(swarm) = Swarm::look(&place)? else { return Ok(Exit::No) };
    let patterns = if paths.is_empty() { None } else { Some(patterns(&swarm.place, &paths, false)?) };
    let mut out = Out::stdout()?;
    let (mut is_any, mut room) = (false, Vec::new());
    swarm.leases.list(patterns.as_deref(), &mut note, &mut |listed| {
        let is_wanted = listed.rows.iter().all(|row| agent.as_deref().is_none_or(|agent| row.is_of(agent)));
        if !is_wanted || (listed.standing == Standing::Alive) == expired {
            return Ok(());
        }
        is_any = true;
        room = answer::listed(listed, std::mem::take(&mut room));
        out.line(&room)
    })?;
    out.flush()?;
    Ok(if is_any { Exit::Yes } else { Exit::No })
}

fn check(options: cli::Check) -> Result<Exit, Failure> {
    let cli::Check { paths, token, reading, place } = options;
    check_typed(&paths)?;
    let token = held(token)?;
    let swarm = Swarm::look(&place)?;
    let answers = match &swarm {
        Some(swarm) => swarm.leases.check(token, &patterns(&swarm.place, &paths, reading.literal)?)?,
        None => vec![Valid::No(None); paths.len()],
    };
    let mut out = Out::stdout()?;
    let refused = paths.iter().zip(&answers).filter(|(_, valid)| **valid != Valid::Yes);
    let mut is_good = true;
    for (path, valid) in refused {
        is_good = false;
        out.line(&answer::checked(token, &path.to_string_lossy(), *valid))?;
    }
    if is_good {
        out.line(&answer::checked(token, "", Valid::Yes))?;
    }
    out.flush()?;
    Ok(if is_good { Exit::Yes } else { Exit::No })
}

/// The token of the grant that is asked about.
fn held(given: Option<u64>) -> Result<u64, Failure> {
    match (given, std::env::var(TOKEN).as_deref()) {
        (Some(token), _) => Ok(token),
        (None, Err(VarError::NotPresent) | Ok("")) => {
            let why = format!("which grant? No --token was given, and {TOKEN} is not set");
            Err(Failure::wrong(why).hint(format!("--token N; 'run' sets {TOKEN} for its command")))
        }
        (None, text) => text
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Failure::wrong(format!("{TOKEN}={}: not a whole number", text.unwrap_or("...")))),
    }
}

fn overlap(options: &cli::Overlap) -> Result<Exit, Failure> {
    let place = Place::nowhere();
    let read = |argument: &OsStr| place.read(argument, options.reading.literal);
    let decision = overlap::overlap(&read(&options.a)?, &read(&options.b)?);
    let mut out = Out::stdout()?;
    out.line(&answer::overlap(&decision))?;
    out.flush()?;
    Ok(if decision == overlap::Decision::Disjoint { Exit::No } else { Exit::Yes })
}

fn sweep(options: &cli::Sweep) -> Result<Exit, Failure> {
    let swarm = Swarm::open(&options.place)?;
    let swept = swarm.leases.sweep(options.damaged, &mut note)?;
    let mut out = Out::stdout()?;
    for (part, standing) in &swept.ended {
        out.line(&answer::part(answer::standing_word(*standing), part))?;
    }
    out.flush()?;
    for name in &swept.forgotten {
        exit::say(
            NAME,
            &format!("forgotten: what {name} may have held; the file stays in {}", swarm.leases.table().dir().join("damaged").display()),
        );
    }
    Ok(Exit::Yes)
}

pub use crate::run::{run, shim};
