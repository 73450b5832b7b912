//! A batch: what was ready to be read, stored in one write and one sync, and answered in the order it came in. An answer is only given
//! when the records are on disk.

use std::collections::VecDeque;

use swarm_common::exit::{self, Failure};
use swarm_common::journal::{AppendError, Draft, Journal, Outcome, Receipt, Rules};
use swarm_common::message::Accepted;

use crate::answer::{self, Refusal};
use crate::cli::NAME;
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
    drafts: Vec<Draft>,
    entries: Vec<Entry>,
    bytes: usize,
}

enum Entry {
    /// The next draft, and where it came from.
    Draft { origin: Origin, recipients: Vec<String> },
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
    pub fn new(quota: Option<Quota>, is_strict: bool) -> Batch {
        Batch { quota, is_strict, drafts: Vec::new(), entries: Vec::new(), bytes: 0 }
    }

    /// True when a record may be refused yet, once it is to be stored: there is a limit, or the id it brings may be another's.
    pub fn may_refuse(&self, draft: &Draft) -> bool {
        self.quota.is_some() || draft.id_is_own
    }

    /// Adds a record.
    pub fn push(&mut self, origin: Origin, accepted: Accepted) {
        let Accepted { draft, recipients } = accepted;
        self.bytes += draft.body.len() + origin.line.len();
        self.drafts.push(draft);
        self.entries.push(Entry::Draft { origin, recipients });
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

    /// Stores it, and tells of each record; with `is_strict` up to the first refusal. Afterwards it is empty.
    ///
    /// # Errors
    /// Status 3 when the journal failed, after all was told; else what `tell` fails with first.
    pub fn store(&mut self, journal: &Journal, tell: &mut dyn FnMut(Told<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let Batch { quota, is_strict, drafts, entries, bytes } = self;
        let mut over = VecDeque::new();
        let mut admit = |draft: &Draft| match quota.as_mut().map_or(Ok(()), |quota| quota.admit(&draft.sender_id)) {
            Ok(()) => true,
            Err(refusal) => {
                over.push_back(refusal);
                false
            }
        };
        let rules = &mut Rules { admit: &mut admit, is_strict: *is_strict };
        let appended = journal.append_by(drafts, rules, &mut |words| exit::say(NAME, words));
        let mut told = Ok(());
        let mut of_drafts = drafts.iter().enumerate();
        for entry in entries.drain(..) {
            let mut is_last = false;
            let done = match entry {
                Entry::Answered(line) => tell(Told::Answer(&line)),
                Entry::Draft { origin, recipients } => {
                    let Some((n, draft)) = of_drafts.next() else { break };
                    match judge(&appended, n, draft, &recipients, &mut over) {
                        Some(Ok(line)) => tell(Told::Answer(&line)),
                        Some(Err(Verdict::NotStored(failure))) => {
                            let refusal = Refusal { status: answer::FAILED, failure, retry_after_ms: None };
                            tell(Told::Answer(&answer::refused(origin.number, &refusal)))
                        }
                        Some(Err(Verdict::Refused(refusal))) => {
                            is_last = *is_strict;
                            tell(Told::Refused(&origin, &refusal))
                        }
                        None => break,
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
        *bytes = 0;
        match appended {
            Ok(_) => told,
            Err(AppendError::Failed(failure) | AppendError::Partly { failure, .. }) => Err(failure),
            Err(AppendError::Unknown { first_seq, last_seq, why, .. }) => Err(unconfirmed(first_seq, last_seq, &why)),
        }
    }
}

/// Why a record has no good answer.
enum Verdict {
    /// A rule refused it.
    Refused(Refusal),
    /// The journal failed.
    NotStored(Failure),
}

/// The answer to the `n`-th draft; `None` behind a refusal that ends it all. The refusals of those that are `over` a limit are in their order.
fn judge(
    appended: &Result<Vec<Receipt>, AppendError>,
    n: usize,
    draft: &Draft,
    recipients: &[String],
    over: &mut VecDeque<Refusal>,
) -> Option<Result<Vec<u8>, Verdict>> {
    let not_stored = |failure| Some(Err(Verdict::NotStored(failure)));
    let (receipts, last_seq) = match appended {
        Ok(receipts) => (receipts, u64::MAX),
        Err(AppendError::Failed(failure)) => return not_stored(failure.clone()),
        Err(AppendError::Partly { receipts, last_seq, .. } | AppendError::Unknown { receipts, last_seq, .. }) => (receipts, *last_seq),
    };
    let Receipt { seq, outcome } = receipts.get(n)?;
    let answer = match (outcome, appended) {
        (Outcome::Refused, _) => return over.pop_front().map(|refusal| Err(Verdict::Refused(refusal))),
        // Repeated too, where the first one is of this batch.
        (_, Err(AppendError::Partly { failure, .. })) if *seq > last_seq => return not_stored(failure.clone()),
        (_, Err(AppendError::Unknown { why, .. })) if *seq > last_seq => return not_stored(Failure::system(format!("not written: {why}"))),
        (Outcome::IdTaken { by }, _) => {
            let what = format!("msg_id {} is that of a message of {by} (seq {seq})", draft.msg_id);
            return Some(Err(Verdict::Refused(Failure::wrong(what).hint("leave it out, or choose another").into())));
        }
        (_, Err(AppendError::Unknown { first_seq, why, .. })) if seq >= first_seq => answer::unknown(*seq, &draft.msg_id, why),
        (Outcome::Repeated, _) => answer::repeated(*seq, &draft.msg_id),
        (Outcome::Stored, _) => answer::accepted(*seq, &draft.msg_id, recipients),
    };
    Some(Ok(answer))
}

fn unconfirmed(first_seq: u64, last_seq: u64, why: &str) -> Failure {
    let seqs = if first_seq == last_seq { format!("seq {first_seq}") } else { format!("seqs {first_seq} to {last_seq}") };
    Failure::system(format!("{seqs}: written, but the disk did not confirm it ({why}): stored or not, nobody knows"))
        .hint("sent again under the same msg_id (--id), it is not stored twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(appended: &Result<Vec<Receipt>, AppendError>, n: usize) -> Option<String> {
        let draft = Draft { msg_id: "m".into(), id_is_own: true, sender_id: "a".into(), body: Vec::new() };
        let mut over = VecDeque::from([Refusal::from(Failure::no("over"))]);
        let line = match judge(appended, n, &draft, &["b".into()], &mut over)? {
            Ok(line) => line,
            Err(Verdict::Refused(refusal)) => answer::refused(None, &refusal),
            Err(Verdict::NotStored(_)) => return Some("failed".into()),
        };
        Some(serde_json::from_slice::<serde_json::Value>(&line).unwrap()["status"].as_str().unwrap().to_string())
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
        assert_eq!(told(&Err(AppendError::Failed(failure)), 1).as_deref(), Some("failed"));
    }
}
