//! Acknowledging: each message that asks me is answered with an ACK, through swarm-send's own way. Whether it still waits for me is decided under
//! the journal's lock: two who do the same at once store one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::fold::Fold;
use swarm_common::identity::{self, Identity};
use swarm_common::journal::{self, Draft, Step};
use swarm_common::message::{Message, TYPE_ACK};
use swarm_common::ndjson::{self, Lines, Out, Piece, TooLong};
use swarm_common::pending::Pending;
use swarm_common::store::Store;
use swarm_common::{options, text};
use swarm_send::answer::{self as sent, Answers, Refusal};
use swarm_send::batch::{Batch, Origin, Told};
use swarm_send::besides;
use swarm_send::cli::Deed;
use swarm_send::gate::Gate;
use swarm_send::post::Post;
use swarm_send::quota::Quota;
use swarm_send::roster::Roster;
use swarm_send::wait;

use crate::answer;
use crate::cli::{self, NAME};
use crate::story::{self, Asked, Story};
use crate::targets::{self, Named, Target};

/// Acknowledges what was named.
///
/// # Errors
/// Status 1 where there is nothing to acknowledge, 2 for a wrong call or what may not be acknowledged, 3 when the system failed.
pub fn acknowledge(options: cli::Ack) -> Result<Exit, Failure> {
    let cli::Ack { ids, seq, message, own, force, place } = options;
    let is_piped = ids.iter().any(|id| id == "-");
    if is_piped && (ids.len() > 1 || !seq.is_empty()) {
        return Err(Failure::wrong("'-' stands alone: what is acknowledged comes from standard input"));
    }
    if ids.is_empty() && seq.is_empty() {
        return Err(
            Failure::wrong("which message?").hint("swarm-ack MSG_ID\nwhat waits for me:  swarm-ack pending --for ID\nsee swarm-ack --help")
        );
    }
    if is_piped && io::stdin().is_terminal() {
        return Err(Failure::wrong("'-' and no ids on standard input").hint("swarm-tail --inbox | swarm-ack -"));
    }
    let named = if is_piped { Vec::new() } else { typed(&ids, &seq)? };
    let store = Store::look(place.store.as_deref())?;
    let (own, forced_by) = identity::who(&store, own.as_deref(), force)?.known()?;
    let mut desk = Desk::open(&store, own, forced_by, message)?;
    if is_piped {
        desk.pipe()?;
        if desk.count == 0 && desk.worst == Exit::Yes {
            return Ok(Exit::No);
        }
    } else {
        desk.settle(named)?;
    }
    Ok(desk.worst)
}

/// What was typed.
fn typed(ids: &[std::ffi::OsString], seqs: &[u64]) -> Result<Vec<Target>, Failure> {
    let id = |id: &std::ffi::OsString| targets::id(None, &id.to_string_lossy());
    let mut targets = ids.iter().map(id).collect::<Result<Vec<Target>, Failure>>()?;
    targets.extend(seqs.iter().map(|&seq| Target { line: None, named: Named::Seq(seq), is_record: false }));
    Ok(targets)
}

/// Somebody who acknowledges.
struct Desk<'a> {
    me: String,
    text: Option<String>,
    store: &'a Store,
    post: Post<'a>,
    gate: Gate,
    batch: Batch,
    answers: Answers,
    fold: Fold<Pending>,
    /// So many were acknowledged, now or before.
    count: u64,
    /// The worst that became of one.
    worst: Exit,
}

/// What an answer of the batch is about.
enum Slot {
    /// It is a whole answer.
    Known,
    /// An acknowledgement of this message.
    Of(String),
}

/// What may be meant by a word that is no id.
const COMMANDS: [&str; 6] = ["pending", "status", "wait", "tick", "watch", "import"];

/// Of a refusal: somebody stored the same meanwhile, in my name.
const REPEATED: &str = "repeated";

impl<'a> Desk<'a> {
    fn open(store: &'a Store, me: String, forced_by: Option<String>, text: Option<String>) -> Result<Desk<'a>, Failure> {
        let mut roster = Roster::of(store);
        // The sender may be registered no longer, and is told all the same.
        let is_kept = roster.is_kept()?;
        let who = Identity { own: Some(me.clone()), forced_by };
        Ok(Desk {
            me,
            text,
            store,
            post: Post::of(store),
            gate: Gate::new(who, false, is_kept, Message::default(), roster),
            batch: Batch::new(Quota::of(store)?, false, Deed::Deliver, None),
            answers: Answers::to(Some(Out::stdout()?)),
            fold: look(store)?,
            count: 0,
            worst: Exit::Yes,
        })
    }

    /// Acknowledges what comes on standard input, as it comes.
    fn pipe(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::new(ndjson::stdin()?);
        let mut number = 0;
        loop {
            let mut ready = Vec::new();
            while let Some(piece) = lines.buffered() {
                let target = match piece {
                    Piece::Line(line) => {
                        number += 1;
                        targets::line(number, line)
                    }
                    Piece::TooLong { first: true, .. } => {
                        number += 1;
                        Err(Failure::wrong(TooLong.to_string()))
                    }
                    Piece::TooLong { .. } => Ok(None),
                };
                match target {
                    Ok(target) => ready.extend(target),
                    Err(failure) => self.refuse(Some(number), "", failure)?,
                }
            }
            self.settle(ready)?;
            if lines.is_done() {
                return Ok(());
            }
            self.answers.flush()?;
            self.answers.wait_for(lines.input().as_fd())?;
            lines.fill()?;
        }
    }

    /// Tells that one is not acknowledged, and why.
    fn refuse(&mut self, line: Option<u64>, msg_id: &str, failure: Failure) -> Result<(), Failure> {
        self.worst = self.worst.max(failure.exit);
        let mut told = failure.clone();
        if let Some(line) = line {
            told.what = format!("line {line}: {}", told.what);
        }
        exit::tell(NAME, &told);
        self.answers.line(&answer::refused(line, msg_id, &failure))
    }

    /// Acknowledges these.
    fn settle(&mut self, targets: Vec<Target>) -> Result<(), Failure> {
        if targets.is_empty() {
            return Ok(());
        }
        let journal = self.store.journal();
        self.fold.catch_up(&journal)?;
        let mut wanted: Vec<(Target, String)> = Vec::new();
        for target in targets {
            let msg_id = match &target.named {
                Named::Id(msg_id) => Ok(msg_id.clone()),
                Named::Seq(seq) => self.id_at(*seq)?,
            };
            match msg_id {
                // Named twice, answered once.
                Ok(msg_id) if wanted.iter().any(|(_, known)| *known == msg_id) => {}
                Ok(msg_id) => wanted.push((target, msg_id)),
                Err(failure) => self.refuse(target.line, "", failure)?,
            }
        }
        let is_clear = |msg_id: &String| self.fold.state().waits_for(msg_id, &self.me);
        let unclear: HashSet<String> = wanted.iter().map(|(_, msg_id)| msg_id).filter(|msg_id| !is_clear(msg_id)).cloned().collect();
        let stories = if unclear.is_empty() { HashMap::new() } else { story::read(&journal, &unclear)? };
        let (mut slots, mut of_drafts) = (VecDeque::new(), HashMap::new());
        for (target, msg_id) in wanted {
            let story = stories.get(&msg_id);
            // It came between the two looks.
            let is_new = story.is_some_and(|story| story.asks(&self.me) && story.acknowledged_by(&self.me).is_none());
            if unclear.contains(&msg_id) && !is_new {
                match self.verdict(&msg_id, story)? {
                    Ok(line) => {
                        self.count += 1;
                        self.batch.answer(line);
                        slots.push_back(Slot::Known);
                    }
                    // One of many, and not mine.
                    Err(_) if target.is_record && story.is_some_and(|story| !story.asks(&self.me)) => {}
                    Err(failure) => self.refuse(target.line, &msg_id, failure)?,
                }
                continue;
            }
            let sender_id = story.map(|story| story.sender_id.as_str()).or(self.fold.state().sender_of(&msg_id));
            let ack = Message {
                msg_type: Some(TYPE_ACK.into()),
                recipients: Some(vec![sender_id.unwrap_or_default().to_string()]),
                reply_to: Some(msg_id.clone()),
                content: self.text.clone(),
                ..Message::default()
            };
            match self.gate.pass(ack) {
                Ok(addressed) => {
                    of_drafts.insert(addressed.accepted.draft.msg_id.clone(), msg_id.clone());
                    self.batch.push(Origin { number: target.line, line: Vec::new() }, addressed);
                    slots.push_back(Slot::Of(msg_id));
                }
                Err(refusal) => self.refuse(target.line, &msg_id, refusal.failure)?,
            }
        }
        let done = if self.batch.is_empty() { Ok(()) } else { self.store(slots, &of_drafts) };
        self.answers.flush()?;
        done
    }

    /// Stores and delivers what is in the batch.
    fn store(&mut self, mut slots: VecDeque<Slot>, of_drafts: &HashMap<String, String>) -> Result<(), Failure> {
        let Desk { me, store, post, batch, answers, fold, count, worst, gate, .. } = self;
        let journal = store.journal();
        let mut is_read = false;
        let mut rule = |draft: &Draft| {
            // No other writer comes behind this, until the batch is stored.
            if !is_read {
                fold.catch_up(&journal).map_err(Refusal::from)?;
                is_read = true;
            }
            let waits = of_drafts.get(&draft.msg_id).is_some_and(|msg_id| fold.state().waits_for(msg_id, me));
            if waits { Ok(()) } else { Err(Refusal { status: REPEATED, failure: Failure::no("acknowledged"), retry_after_ms: None }) }
        };
        let mut repeated = HashSet::new();
        let stored = batch.store_by(post, &mut rule, &mut |told| {
            let slot = slots.pop_front().unwrap_or(Slot::Known);
            match (told, slot) {
                (Told::Answer(line), Slot::Known) => answers.line(line),
                (Told::Answer(line), Slot::Of(msg_id)) => {
                    *count += 1;
                    answers.line(&answer::about(line, &msg_id))
                }
                (Told::Refused(_, refusal), Slot::Of(msg_id)) if refusal.status == REPEATED => {
                    repeated.insert(msg_id);
                    Ok(())
                }
                (Told::Refused(origin, refusal), slot) => {
                    *worst = (*worst).max(refusal.failure.exit);
                    exit::tell(NAME, &refusal.failure);
                    let line = sent::refused(origin.number, refusal);
                    answers.line(&if let Slot::Of(msg_id) = slot { answer::about(&line, &msg_id) } else { line })
                }
            }
        });
        answers.flush()?;
        besides::afterwards(post);
        gate.renew();
        self.worst = self.worst.max(stored?);
        let stories = if repeated.is_empty() { HashMap::new() } else { story::read(&journal, &repeated)? };
        for msg_id in &repeated {
            match self.verdict(msg_id, stories.get(msg_id))? {
                Ok(line) => {
                    self.count += 1;
                    self.answers.line(&line)?;
                }
                Err(failure) => self.refuse(None, msg_id, failure)?,
            }
        }
        Ok(())
    }

    /// Why a message does not wait for me: the answer where I have acknowledged it, else the refusal.
    fn verdict(&self, msg_id: &str, story: Option<&Story>) -> Result<Result<Vec<u8>, Failure>, Failure> {
        let Some(story) = story else {
            let missing = story::missing(&self.store.journal(), msg_id)?;
            // Behind an option, clap takes a command's name for an id.
            return Ok(Err(match options::nearest(msg_id, COMMANDS.into_iter()) {
                Some(command) => missing.hint(format!("did you mean the command?  swarm-ack {command}  (its options stand behind it)")),
                None => missing,
            }));
        };
        if let Some((seq, ack_id)) = story.acknowledged_by(&self.me) {
            return Ok(Ok(answer::about(&sent::repeated(seq, ack_id), msg_id)));
        }
        let what = format!("{msg_id} (seq {}, {} from {})", story.seq, text::clean(&story.msg_type), text::clean(&story.sender_id));
        let failure = match &story.asked {
            Asked::Nobody if story.msg_type.eq_ignore_ascii_case(TYPE_ACK) => {
                Failure::wrong(format!("{what} is an acknowledgement: it needs none"))
            }
            Asked::Nobody => Failure::wrong(format!("{what} does not ask for an acknowledgement"))
                .hint(format!("to answer it:  swarm-send --to {} --reply-to {msg_id} 'TEXT'", story.sender_id)),
            Asked::These(ids) => {
                Failure::wrong(format!("{what} does not ask {} for an acknowledgement", self.me)).hint(format!("it asks {}", some(ids)))
            }
            Asked::Anybody => Failure::wrong(format!("{what} is your own: it asks the others")),
        };
        Ok(Err(failure))
    }

    /// The id of the message with this seq, or why there is none.
    fn id_at(&self, seq: u64) -> Result<Result<String, Failure>, Failure> {
        if let Some(msg_id) = self.fold.state().id_of(seq) {
            return Ok(Ok(msg_id.to_string()));
        }
        let journal = self.store.journal();
        let bounds = journal.bounds()?;
        if seq >= bounds.next_seq {
            let last = bounds.next_seq - 1;
            return Ok(Err(Failure::wrong(format!("no message has the seq {seq}")).hint(format!("the last one is seq {last}"))));
        }
        if seq < bounds.oldest_seq {
            return Ok(Err(wait::gone(&format!("seq {seq}"), bounds.oldest_seq)));
        }
        let mut reader = journal.read_from(seq)?;
        let Step::Lines { bytes, .. } = reader.next()? else {
            return Ok(Err(Failure::system(format!("seq {seq} cannot be read")).hint("swarm-tail tells what is damaged")));
        };
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Ok(journal::id_of(line).ok_or_else(|| Failure::wrong(format!("seq {seq} has no id"))))
    }
}

/// To read so many records again costs less than to write down, with each acknowledgement, all that waits.
const READ_AGAIN_MAX: u64 = 64;

/// What waits now.
fn look(store: &Store) -> Result<Fold<Pending>, Failure> {
    let mut fold = Fold::load(&store.folds_place());
    fold.catch_up(&store.journal())?;
    if fold.is_worth_saving() && fold.unsaved() >= READ_AGAIN_MAX {
        // It is computed again where it cannot be written.
        let _ = fold.save();
    }
    Ok(fold)
}

/// The first few of many.
fn some(ids: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown = ids.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN_MAX { format!("{shown} and {} more", ids.len() - SHOWN_MAX) } else { shown }
}
