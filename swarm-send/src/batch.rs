//! A batch: what was ready to be read, stored in one write and one sync, and answered in the order it came in. An answer is only given
//! when the records are on disk.

use std::mem;

use swarm_common::exit::{self, Failure};
use swarm_common::journal::{AppendError, Draft, Journal, Outcome, Receipt};
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
    /// What comes behind a record that is over its sender's limit is not sent.
    is_strict: bool,
    drafts: Vec<Draft>,
    entries: Vec<Entry>,
    bytes: usize,
}

enum Entry {
    /// The next draft, and where it came from.
    Draft { origin: Origin, recipients: Vec<String> },
    /// It is not going to be stored, which waits to be told in its turn.
    Refused { origin: Origin, refusal: Refusal },
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

    /// Makes refusals of what is over its sender's limit.
    fn limit(&mut self, journal: &Journal) {
        let Some(quota) = &mut self.quota else { return };
        let mut decided = quota.decide(journal, &self.drafts, self.is_strict).into_iter();
        let mut drafts = mem::take(&mut self.drafts).into_iter();
        for entry in mem::take(&mut self.entries) {
            let Entry::Draft { origin, recipients } = entry else {
                self.entries.push(entry);
                continue;
            };
            match (drafts.next(), decided.next()) {
                (Some(draft), Some(Ok(()))) => {
                    self.drafts.push(draft);
                    self.entries.push(Entry::Draft { origin, recipients });
                }
                (_, Some(Err(refusal))) => {
                    self.entries.push(Entry::Refused { origin, refusal });
                    if self.is_strict {
                        return;
                    }
                }
                (_, None) | (None, _) => return,
            }
        }
    }

    /// Stores it, and tells of each record. Afterwards it is empty.
    ///
    /// # Errors
    /// Status 3 when the journal failed, after all was told; else what `tell` fails with first.
    pub fn store(&mut self, journal: &Journal, tell: &mut dyn FnMut(Told<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        self.limit(journal);
        let appended = journal.append(&self.drafts, &mut |words| exit::say(NAME, words));
        let mut told = Ok(());
        let mut n = 0;
        for entry in self.entries.drain(..) {
            // All is stored by now: a record that cannot be told of does not keep the others from it.
            told = told.and(match entry {
                Entry::Answered(line) => tell(Told::Answer(&line)),
                Entry::Refused { origin, refusal } => tell(Told::Refused(&origin, &refusal)),
                Entry::Draft { origin, recipients } => {
                    n += 1;
                    match self.drafts.get(n - 1).map(|draft| judge(&appended, n - 1, draft, &recipients)) {
                        Some(Ok(line)) => tell(Told::Answer(&line)),
                        Some(Err(refusal)) if refusal.status == answer::FAILED => {
                            tell(Told::Answer(&answer::refused(origin.number, &refusal)))
                        }
                        Some(Err(refusal)) => tell(Told::Refused(&origin, &refusal)),
                        None => Ok(()),
                    }
                }
            });
        }
        self.drafts.clear();
        self.bytes = 0;
        match appended {
            Ok(_) => told,
            Err(AppendError::Failed(failure) | AppendError::Partly { failure, .. }) => Err(failure),
            Err(AppendError::Unknown { first_seq, last_seq, why, .. }) => Err(unconfirmed(first_seq, last_seq, &why)),
        }
    }
}

/// The answer to the `n`-th draft.
fn judge(appended: &Result<Vec<Receipt>, AppendError>, n: usize, draft: &Draft, recipients: &[String]) -> Result<Vec<u8>, Refusal> {
    let failed = |failure| Err(Refusal { status: answer::FAILED, failure, retry_after_ms: None });
    let (receipts, doubt) = match appended {
        Ok(receipts) => (receipts, None),
        Err(AppendError::Partly { receipts, last_seq, failure }) if receipts[n].seq > *last_seq => return failed(failure.clone()),
        Err(AppendError::Partly { receipts, .. }) => (receipts, None),
        Err(AppendError::Unknown { receipts, last_seq, why, .. }) if receipts[n].seq > *last_seq => {
            return failed(Failure::system(format!("not written: {why}")));
        }
        Err(AppendError::Unknown { first_seq, receipts, why, .. }) => (receipts, Some((first_seq, why))),
        Err(AppendError::Failed(failure)) => return failed(failure.clone()),
    };
    let Receipt { seq, outcome } = &receipts[n];
    match (outcome, doubt) {
        (Outcome::IdTaken { by }, _) => {
            let what = format!("msg_id {} is that of a message of {by} (seq {seq})", draft.msg_id);
            Err(Failure::wrong(what).hint("leave it out, or choose another").into())
        }
        // Repeated too, where the first one is of this batch.
        (_, Some((first_seq, why))) if seq >= first_seq => Ok(answer::unknown(*seq, &draft.msg_id, why)),
        _ => Ok(answer::accepted(*seq, &draft.msg_id, recipients, *outcome == Outcome::Repeated)),
    }
}

fn unconfirmed(first_seq: u64, last_seq: u64, why: &str) -> Failure {
    let seqs = if first_seq == last_seq { format!("seq {first_seq}") } else { format!("seqs {first_seq} to {last_seq}") };
    Failure::system(format!("{seqs}: written, but the disk did not confirm it ({why}): stored or not, nobody knows"))
        .hint("sent again under the same msg_id (--id), it is not stored twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(appended: &Result<Vec<Receipt>, AppendError>, n: usize) -> String {
        let draft = Draft { msg_id: "m".into(), id_is_own: true, sender_id: "a".into(), body: Vec::new() };
        let line = judge(appended, n, &draft, &["b".into()]).unwrap_or_else(|refusal| answer::refused(None, &refusal));
        serde_json::from_slice::<serde_json::Value>(&line).unwrap()["status"].as_str().unwrap().to_string()
    }

    #[test]
    fn each_record_of_a_batch_that_stopped_is_answered_by_what_became_of_it() {
        let stored = |seq| Receipt { seq, outcome: Outcome::Stored };
        let repeated = |seq| Receipt { seq, outcome: Outcome::Repeated };
        let receipts = vec![repeated(3), stored(7), repeated(7), stored(8), repeated(8)];
        let failure = Failure::system("full");
        let partly = Err(AppendError::Partly { last_seq: 7, receipts: receipts.clone(), failure: failure.clone() });
        assert_eq!([0, 1, 2, 3, 4].map(|n| told(&partly, n)), ["accepted", "accepted", "accepted", "failed", "failed"]);
        let unknown = Err(AppendError::Unknown { first_seq: 7, last_seq: 7, receipts, why: "broken".into() });
        assert_eq!([0, 1, 2, 3, 4].map(|n| told(&unknown, n)), ["accepted", "unknown", "unknown", "failed", "failed"]);
        assert_eq!(told(&Err(AppendError::Failed(failure)), 1), "failed");
    }
}
