//! What was queued, delivered again: by one process at a time, the oldest first. What is due is read from the journal, and whether an agent is there
//! and has not read the message meanwhile is asked at that moment.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::fold::Fold;
use swarm_common::journal::{self, Journal, Step};
use swarm_common::registry::Route;
use swarm_common::store::Store;
use swarm_common::{files, time};

use crate::answer::{self, Answers};
use crate::attempt::{self, Attempt};
use crate::cli::NAME;
use crate::deliver::{self, Outcome, Word, why};
use crate::delivery::Told;
use crate::gate::Recipient;
use crate::post::{self, Delivered, Letter, Post};
use crate::queue::{Due, Queue};
use crate::roster::Roster;

/// A send that finds something due takes so many along at most, and one for each pane: typed side by side, they cost it about what its own does.
const BESIDES_MAX: usize = 8;

/// So many are delivered in one go. What became of them is written down before the next ones.
const WAVE_MAX: usize = 256;

/// Who asks for it waits so long for another who does the same.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Delivers new letters, and tells what became of them. Where something is typed for them, what was queued before, and is due, goes first, in the
/// same go.
pub fn deliver(post: &mut Post<'_>, letters: Vec<Letter>) -> Vec<Vec<Told>> {
    if letters.is_empty() {
        return Vec::new();
    }
    post.owes_retry = post.store().config().send.retry_queued;
    if !post.owes_retry || !letters.iter().any(Letter::is_typed) {
        return post.deliver(&letters).told;
    }
    post.owes_retry = false;
    match besides(post) {
        Some((turn, queued)) => turn.deliver(post, queued, letters).1,
        None => post.deliver(&letters).told,
    }
}

/// Delivers what was queued before and is due, once the answers are out, where it did not go with a letter.
pub fn afterwards(post: &mut Post<'_>) {
    if std::mem::take(&mut post.owes_retry)
        && let Some((turn, queued)) = besides(post)
    {
        turn.deliver(post, queued, Vec::new());
    }
}

/// Delivers all that is queued, however lately it was tried, and tells of each.
///
/// # Errors
/// Status 1 while another process does it; 3 when the system failed.
pub fn all(post: &mut Post<'_>, answers: &mut Answers) -> Result<Exit, Failure> {
    let store = post.store();
    let failed = |error: io::Error| Failure::io(format_args!("lock {}", lock_path(store).display()), &error);
    let file = lock_file(store).map_err(failed)?;
    let until = Instant::now() + TURN_MAX;
    if !files::lock_file_until(&file, &|| Instant::now() >= until).map_err(failed)? {
        return Err(Failure::no("another swarm-send is delivering what is queued").hint("its DELIVERY records tell what became of it"));
    }
    let turn = Turn::begin(post, file)?;
    for (letter, told) in &turn.lost {
        answers.line(&answer::retried(letter.seq, &letter.msg_id, told))?;
    }
    let chosen = Look::new(store).choose(turn.fold.state().due(since(store), None), usize::MAX, false);
    let mut worst = Exit::Yes;
    for wave in chosen.chunks(WAVE_MAX) {
        let queued = turn.letters(post.journal(), wave);
        let told = turn.deliver(post, queued.clone(), Vec::new()).0;
        for ((letter, _), told) in queued.iter().zip(&told) {
            if told.iter().any(|told| told.outcome.word == Word::Refused) {
                worst = Exit::No;
            }
            answers.line(&answer::retried(letter.seq, &letter.msg_id, told))?;
        }
        answers.flush()?;
    }
    answers.flush()?;
    Ok(worst)
}

/// A message to be tried again, and that it is.
type Queued = (Letter, Attempt);

/// What a send takes along, where something is due and nobody else is at it.
fn besides<'a>(post: &mut Post<'a>) -> Option<(Turn<'a>, Vec<Queued>)> {
    let store = post.store();
    // One small file says whether there may be something.
    let fold: Fold<Queue> = Fold::load(&store.folds_place());
    let now = Some(time::now());
    let mut look = Look::new(store);
    if look.choose(fold.state().due(since(store), now), BESIDES_MAX, true).is_empty() {
        return None;
    }
    let file = lock_file(store).ok()?;
    if !files::try_lock_file(&file).ok()? {
        return None;
    }
    let turn = Turn::begin(post, file).ok()?;
    let chosen = look.choose(turn.fold.state().due(since(store), now), BESIDES_MAX, true);
    let queued = turn.letters(post.journal(), &chosen);
    (!queued.is_empty()).then_some((turn, queued))
}

/// The turn to deliver what is queued: one process at a time has it. It ends with the lock, after what became of it was written down.
struct Turn<'a> {
    _lock: File,
    store: &'a Store,
    /// The queue as it is now.
    fold: Fold<Queue>,
    /// What somebody who had the turn before was killed over.
    lost: Vec<(Letter, Vec<Told>)>,
}

impl<'a> Turn<'a> {
    /// Begins it. What is lost may have been typed: that is written down, and it is not tried again.
    fn begin(post: &mut Post<'a>, lock: File) -> Result<Turn<'a>, Failure> {
        let store = post.store();
        let mut turn = Turn { _lock: lock, store, fold: queue(store, post.journal())?, lost: Vec::new() };
        turn.lost = attempt::read(&store.folds_place())
            .into_iter()
            .filter(|attempt| attempt.is_open(turn.fold.state()))
            .map(|Attempt { seq, msg_id, sender_id, agent_id, .. }| {
                let outcome = Outcome::of(&agent_id, Word::Unconfirmed, why::KILLED);
                let to = vec![Recipient { agent_id, agent: None }];
                (Letter { seq, msg_id, sender_id, members: Vec::new(), to, route: None }, vec![Told { outcome, is_wake: false }])
            })
            .collect();
        if !turn.lost.is_empty() {
            let (letters, told): (Vec<Letter>, Vec<Vec<Told>>) = turn.lost.iter().cloned().unzip();
            if !post.write_down(&letters, &told) {
                return Err(Failure::system("the journal cannot be written to"));
            }
            turn.fold.catch_up(post.journal())?;
        }
        attempt::clear(&store.folds_place());
        Ok(turn)
    }

    /// What was chosen, as letters: one for each message and recipient. What the journal no longer has is left out.
    fn letters(&self, journal: &Journal, chosen: &[(Due, Recipient)]) -> Vec<Queued> {
        let letters = chosen.iter().filter_map(|(due, to)| {
            let letter = letter(journal, due, to)?;
            let attempt = Attempt::of(due, &letter.sender_id, &to.agent_id);
            Some((letter, attempt))
        });
        letters.collect()
    }

    /// Delivers these, and new letters behind them in the same go; what became of both.
    fn deliver(&self, post: &mut Post<'_>, queued: Vec<Queued>, new: Vec<Letter>) -> (Vec<Vec<Told>>, Vec<Vec<Told>>) {
        let dir = self.store.folds_place();
        let (mut letters, attempts): (Vec<Letter>, Vec<Attempt>) = queued.into_iter().unzip();
        if let Err(error) = attempt::write(&dir, &attempts) {
            exit::say(NAME, &format!("what is queued stays so: cannot write to {}: {}", dir.display(), exit::reason(&error)));
            return (Vec::new(), post.deliver(&new).told);
        }
        letters.extend(new);
        let Delivered { mut told, is_written } = post.deliver(&letters);
        if is_written {
            attempt::clear(&dir);
        }
        post::refresh::<Queue>(&dir, post.journal());
        let new = told.split_off(attempts.len());
        (told, new)
    }
}

fn queue(store: &Store, journal: &Journal) -> Result<Fold<Queue>, Failure> {
    let mut fold = Fold::load(&store.folds_place());
    fold.catch_up(journal)?;
    Ok(fold)
}

fn lock_path(store: &Store) -> PathBuf {
    store.folds_place().join("retry.lock")
}

fn lock_file(store: &Store) -> io::Result<File> {
    files::create_dir(&store.folds_place())?;
    files::open_or_create(&lock_path(store))
}

/// What was queued before is too old.
fn since(store: &Store) -> Timestamp {
    let span = SignedDuration::try_from(store.config().send.retry_for).unwrap_or(SignedDuration::MAX);
    time::now().checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// Who is there, and how far each has read.
struct Look<'a> {
    store: &'a Store,
    roster: Roster,
    cursors: PathBuf,
    read: HashMap<String, Option<u64>>,
}

impl Look<'_> {
    fn new(store: &Store) -> Look<'_> {
        Look { store, roster: Roster::of(store), cursors: store.cursors_place(), read: HashMap::new() }
    }

    /// Those that can be tried now: of agents who are registered, who do not look for themselves, and who have not read them.
    fn choose(&mut self, due: Vec<Due>, count_max: usize, one_a_pane: bool) -> Vec<(Due, Recipient)> {
        let (mut chosen, mut taken) = (Vec::new(), HashSet::new());
        for due in due {
            if chosen.len() == count_max {
                break;
            }
            // What cannot be read now may be readable later.
            let Ok(Some(agent)) = self.roster.find(&due.agent_id) else { continue };
            if agent.route == Route::Inbox || agent.pane.is_none() || (one_a_pane && taken.contains(&due.agent_id)) {
                continue;
            }
            let read = self.read.entry(due.agent_id.clone()).or_insert_with(|| post::read_up_to(&self.cursors, &due.agent_id));
            if read.is_some_and(|next_seq| next_seq > due.seq) {
                continue;
            }
            if agent.route == Route::Wake && deliver::is_unread(self.store, &agent) {
                continue;
            }
            taken.insert(due.agent_id.clone());
            chosen.push((due, Recipient { agent_id: agent.agent_id.clone(), agent: Some(agent) }));
        }
        chosen
    }
}

/// The message, read from the journal; `None` where it is gone.
fn letter(journal: &Journal, due: &Due, to: &Recipient) -> Option<Letter> {
    let read = || -> Result<Option<Vec<u8>>, Failure> {
        let mut reader = journal.read_from(due.seq)?;
        let Step::Lines { bytes, first_seq, .. } = reader.next()? else { return Ok(None) };
        let line = bytes.split(|&byte| byte == b'\n').next().filter(|_| first_seq == due.seq);
        Ok(line.filter(|line| journal::id_of(line).as_ref() == Some(&due.msg_id)).map(<[u8]>::to_vec))
    };
    let line = match read() {
        Ok(line) => line?,
        Err(failure) => {
            exit::say(NAME, &failure.what);
            return None;
        }
    };
    let sender_id = crate::record::head(&line)?.sender_id.into_owned();
    // Its opening brace.
    let members = line.get(1..)?.to_vec();
    Some(Letter { seq: due.seq, msg_id: due.msg_id.clone(), sender_id, members, to: vec![to.clone()], route: None })
}
