//! A batch: what was ready to be read, stored in one write and one sync, delivered, and answered in the order it came in. An answer is only
//! given when the records are on disk.

use std::collections::VecDeque;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::journal::{AppendError, Draft, Outcome, Receipt, Rules};
use swarm_common::message::Accepted;
use swarm_common::registry::Route;

use crate::answer::{self, Refusal};
use crate::besides;
use crate::cli::{Deed, NAME};
use crate::deliver::Word;
use crate::delivery::Told as Delivered;
use crate::gate::{Addressed, Recipient};
use crate::post::{Letter, Post};
use crate::quota::Quota;

/// A batch is stored when it holds so much. More would take memory and save little: a sync costs some hundred microseconds, as does
/// writing this.
const BYTES_MAX: usize = 512 * 1024;

/// And when it holds so many records.
const RECORDS_MAX: usize = 2048;

/// Records that wait to be stored, and between them the answers to those that were refused.
pub struct Batch {
    quota: Option<Quota>,
    /// What comes behind a record that is refused is not sent.
    is_strict: bool,
    deed: Deed,
    /// Each recipient's route, whatever its own is.
    route: Option<Route>,
    drafts: Vec<Draft>,
    entries: Vec<Entry>,
    bytes: usize,
}

enum Entry {
    /// The next draft, and where it came from.
    Draft { origin: Origin, recipients: Vec<String>, to: Option<Vec<Recipient>> },
    /// An answer that waits for its turn.
    Answered(Vec<u8>),
}

/// Where a record came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its line; `None` where it was no stream.
    pub number: Option<u64>,
    /// The line itself, where it may still be refused ([`Batch::may_refuse`]).
    pub line: Vec<u8>,
}

/// What a batch has to say, in the order of its records.
pub enum Told<'a> {
    /// An answer.
    Answer(&'a [u8]),
    /// This one is refused after all: by its sender's limit, or by the journal.
    Refused(&'a Origin, &'a Refusal),
}

impl Batch {
    /// One without records. The `quota` says how many a sender may send.
    pub fn new(quota: Option<Quota>, is_strict: bool, deed: Deed, route: Option<Route>) -> Batch {
        Batch { quota, is_strict, deed, route, drafts: Vec::new(), entries: Vec::new(), bytes: 0 }
    }

    /// True when a record may be refused yet, once it is to be stored: there is a limit, or the id it brings may be another's.
    pub fn may_refuse(&self, draft: &Draft) -> bool {
        self.quota.is_some() || draft.id_is_own
    }

    /// Adds a record.
    pub fn push(&mut self, origin: Origin, addressed: Addressed) {
        let Addressed { accepted: Accepted { draft, recipients }, to } = addressed;
        self.bytes += draft.body.len() + origin.line.len();
        self.drafts.push(draft);
        self.entries.push(Entry::Draft { origin, recipients, to });
    }

    /// Adds the answer to a record that was refused.
    pub fn answer(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.entries.push(Entry::Answered(line));
    }

    /// True when it has to be stored before more is read.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.entries.len() >= RECORDS_MAX
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Stores it, delivers what is stored, and tells of each record; with `is_strict` up to the first refusal. Afterwards it is empty. Answers
    /// 1 where a delivery was refused.
    ///
    /// # Errors
    /// Status 3 when the journal failed, after all was told; else what `tell` fails with first.
    pub fn store(&mut self, post: &mut Post<'_>, tell: &mut dyn FnMut(Told<'_>) -> Result<(), Failure>) -> Result<Exit, Failure> {
        self.store_by(post, &mut |_| Ok(()), tell)
    }

    /// As [`Batch::store`], but of each record that would be stored the `rule` is asked first, under the journal's lock.
    ///
    /// # Errors
    /// As [`Batch::store`].
    pub fn store_by(
        &mut self,
        post: &mut Post<'_>,
        rule: &mut dyn FnMut(&Draft) -> Result<(), Refusal>,
        tell: &mut dyn FnMut(Told<'_>) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let Batch { quota, is_strict, deed, route, drafts, entries, bytes } = self;
        *bytes = 0;
        if *deed == Deed::DryRun {
            return dry_run(std::mem::take(drafts), std::mem::take(entries), *route, tell);
        }
        let mut over = VecDeque::new();
        let mut within = |draft: &Draft| quota.as_mut().map_or(Ok(()), |quota| quota.admit(&draft.sender_id));
        let mut admit = |draft: &Draft| match rule(draft).and_then(|()| within(draft)) {
            Ok(()) => true,
            Err(refusal) => {
                over.push_back(refusal);
                false
            }
        };
        let rules = &mut Rules { admit: &mut admit, is_strict: *is_strict };
        let appended = post.journal().append_by(drafts, rules, &mut |words| exit::say(NAME, words));
        let verdicts: Vec<Verdict> = drafts.iter().enumerate().map_while(|(n, draft)| judge(&appended, n, draft, &mut over)).collect();
        let mut delivered = if *deed == Deed::Deliver { deliver(post, drafts, entries, &verdicts, *route) } else { VecDeque::new() };
        let worst = say_refused(delivered.iter().flat_map(|(_, told)| told));

        let mut told = Ok(());
        let mut of_drafts = drafts.iter().zip(verdicts).enumerate();
        for entry in entries.drain(..) {
            let mut is_last = false;
            let done = match entry {
                Entry::Answered(line) => tell(Told::Answer(&line)),
                Entry::Draft { origin, recipients, .. } => {
                    let Some((n, (Draft { msg_id, .. }, verdict))) = of_drafts.next() else { break };
                    match verdict {
                        Verdict::Stored(seq) => {
                            let is_next = delivered.front().is_some_and(|(of, _)| *of == n);
                            let outcomes = if is_next { delivered.pop_front().map(|(_, told)| told) } else { None };
                            tell(Told::Answer(&answer::accepted(seq, msg_id, &recipients, outcomes.as_deref())))
                        }
                        Verdict::Repeated(seq) => tell(Told::Answer(&answer::repeated(seq, msg_id))),
                        Verdict::Unknown(seq, why) => tell(Told::Answer(&answer::unknown(seq, msg_id, &why))),
                        Verdict::NotStored(failure) => {
                            let refusal = Refusal { status: answer::FAILED, failure, retry_after_ms: None };
                            tell(Told::Answer(&answer::refused(origin.number, &refusal)))
                        }
                        Verdict::Refused(refusal) => {
                            is_last = *is_strict;
                            tell(Told::Refused(&origin, &refusal))
                        }
                    }
                }
            };
            // All is stored by now: a record that cannot be told of does not keep the others from it.
            told = told.and(done);
            if is_last {
                break;
            }
        }
        drafts.clear();
        match appended {
            Ok(_) => told.map(|()| worst),
            Err(AppendError::Failed(failure) | AppendError::Partly { failure, .. }) => Err(failure),
            Err(AppendError::Unknown { first_seq, last_seq, why, .. }) => Err(unconfirmed(first_seq, last_seq, &why)),
        }
    }
}

/// Says what would become of each record. Nothing is stored, so nothing can be repeated or over a limit.
fn dry_run(
    drafts: Vec<Draft>,
    entries: Vec<Entry>,
    route: Option<Route>,
    tell: &mut dyn FnMut(Told<'_>) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let mut drafts = drafts.into_iter();
    for entry in entries {
        let line = match entry {
            Entry::Answered(line) => line,
            Entry::Draft { recipients, to, .. } => {
                let Some(draft) = drafts.next() else { break };
                let letter = letter(0, &draft, to.unwrap_or_default(), route);
                answer::dry_run(&recipients, &letter)
            }
        };
        tell(Told::Answer(&line))?;
    }
    Ok(Exit::Yes)
}

/// Delivers what is stored; for each draft that was delivered, by its place, what became of it. What was queued before, and is due, goes first.
fn deliver(
    post: &mut Post<'_>,
    drafts: &[Draft],
    entries: &mut [Entry],
    verdicts: &[Verdict],
    route: Option<Route>,
) -> VecDeque<(usize, Vec<Delivered>)> {
    let recipients = entries.iter_mut().filter_map(|entry| if let Entry::Draft { to, .. } = entry { Some(to.take()) } else { None });
    let (mut places, mut letters) = (Vec::new(), Vec::new());
    for (n, ((draft, verdict), to)) in drafts.iter().zip(verdicts).zip(recipients).enumerate() {
        // What was stored before was delivered then; what perhaps is not stored is not delivered.
        if let (Verdict::Stored(seq), Some(to)) = (verdict, to) {
            places.push(n);
            letters.push(letter(*seq, draft, to, route));
        }
    }
    let told = besides::deliver(post, letters);
    places.into_iter().zip(told).collect()
}

/// So many recipients are named whose deliveries were refused.
const NAMED_MAX: usize = 5;

/// Says which deliveries were refused, if any: 1 then, else 0.
fn say_refused<'a>(told: impl Iterator<Item = &'a Delivered>) -> Exit {
    let mut refused = told.map(|told| &told.outcome).filter(|outcome| outcome.word == Word::Refused);
    let named: Vec<String> = refused
        .by_ref()
        .take(NAMED_MAX)
        .map(|outcome| format!("{} ({})", outcome.agent_id, outcome.why.as_deref().unwrap_or_default()))
        .collect();
    if named.is_empty() {
        return Exit::Yes;
    }
    let more = match refused.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    exit::say(NAME, &format!("stored, and not to be delivered to {}{more}", named.join(", ")));
    Exit::No
}

fn letter(seq: u64, draft: &Draft, to: Vec<Recipient>, route: Option<Route>) -> Letter {
    let Draft { msg_id, sender_id, body, .. } = draft;
    Letter { seq, msg_id: msg_id.clone(), sender_id: sender_id.clone(), members: body.clone(), to, route, retry: None }
}

/// What became of a draft.
enum Verdict {
    /// It is on disk.
    Stored(u64),
    /// It was before.
    Repeated(u64),
    /// Nobody knows, and why.
    Unknown(u64, String),
    /// A rule refused it.
    Refused(Refusal),
    /// The journal failed.
    NotStored(Failure),
}

/// What became of the `n`-th draft; `None` behind a refusal that ends it all. The refusals of those that are `over` a limit are in their order.
fn judge(appended: &Result<Vec<Receipt>, AppendError>, n: usize, draft: &Draft, over: &mut VecDeque<Refusal>) -> Option<Verdict> {
    let (receipts, last_seq) = match appended {
        Ok(receipts) => (receipts, u64::MAX),
        Err(AppendError::Failed(failure)) => return Some(Verdict::NotStored(failure.clone())),
        Err(AppendError::Partly { receipts, last_seq, .. } | AppendError::Unknown { receipts, last_seq, .. }) => (receipts, *last_seq),
    };
    let Receipt { seq, outcome } = receipts.get(n)?;
    Some(match (outcome, appended) {
        (Outcome::Refused, _) => return over.pop_front().map(Verdict::Refused),
        // Repeated too, where the first one is of this batch.
        (_, Err(AppendError::Partly { failure, .. })) if *seq > last_seq => Verdict::NotStored(failure.clone()),
        (_, Err(AppendError::Unknown { why, .. })) if *seq > last_seq => Verdict::NotStored(Failure::system(format!("not written: {why}"))),
        (Outcome::IdTaken { by }, _) => {
            let what = format!("msg_id {} is that of a message of {by} (seq {seq})", draft.msg_id);
            Verdict::Refused(Failure::wrong(what).hint("leave it out, or choose another").into())
        }
        (_, Err(AppendError::Unknown { first_seq, why, .. })) if seq >= first_seq => Verdict::Unknown(*seq, why.clone()),
        (Outcome::Repeated, _) => Verdict::Repeated(*seq),
        (Outcome::Stored, _) => Verdict::Stored(*seq),
    })
}

fn unconfirmed(first_seq: u64, last_seq: u64, why: &str) -> Failure {
    let seqs = if first_seq == last_seq { format!("seq {first_seq}") } else { format!("seqs {first_seq} to {last_seq}") };
    Failure::system(format!("{seqs}: written, but the disk did not confirm it ({why}): stored or not, nobody knows"))
        .hint("sent again under the same msg_id (--id), it is not stored twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(appended: &Result<Vec<Receipt>, AppendError>, n: usize) -> Option<&'static str> {
        let draft = Draft { msg_id: "m".into(), id_is_own: true, sender_id: "a".into(), body: Vec::new() };
        let mut over = VecDeque::from([Refusal::from(Failure::no("over"))]);
        Some(match judge(appended, n, &draft, &mut over)? {
            Verdict::Stored(_) | Verdict::Repeated(_) => "accepted",
            Verdict::Unknown(..) => "unknown",
            Verdict::Refused(_) => "refused",
            Verdict::NotStored(_) => "failed",
        })
    }

    #[test]
    fn each_record_of_a_batch_that_stopped_is_answered_by_what_became_of_it() {
        let stored = |seq| Receipt { seq, outcome: Outcome::Stored };
        let repeated = |seq| Receipt { seq, outcome: Outcome::Repeated };
        let taken = |seq| Receipt { seq, outcome: Outcome::IdTaken { by: "z".into() } };
        let over = Receipt { seq: 0, outcome: Outcome::Refused };
        let receipts = vec![repeated(3), stored(7), repeated(7), stored(8), repeated(8), taken(3), taken(8), over];
        let failure = Failure::system("full");
        let all = |appended| (0..9).map_while(|n| told(&appended, n)).collect::<Vec<_>>();
        let partly = |last_seq| Err(AppendError::Partly { last_seq, receipts: receipts.clone(), failure: failure.clone() });
        assert_eq!(all(partly(7)), ["accepted", "accepted", "accepted", "failed", "failed", "refused", "failed", "refused"]);
        assert_eq!(all(partly(6)), ["accepted", "failed", "failed", "failed", "failed", "refused", "failed", "refused"]);
        let unknown =
            |first_seq, last_seq| Err(AppendError::Unknown { first_seq, last_seq, receipts: receipts.clone(), why: "broken".into() });
        assert_eq!(all(unknown(7, 7)), ["accepted", "unknown", "unknown", "failed", "failed", "refused", "failed", "refused"]);
        assert_eq!(all(unknown(2, 3)), ["unknown", "failed", "failed", "failed", "failed", "refused", "failed", "refused"]);
        assert_eq!(all(Ok(receipts[..2].to_vec())), ["accepted", "accepted"], "with --strict");
        assert_eq!(told(&Err(AppendError::Failed(failure)), 1), Some("failed"));
    }
}
