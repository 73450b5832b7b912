//! `import`: takes over what waits in the Python program, `PENDING_ACKS.json`. Its file is read, and never changed. A message is stored under the id that it
//! had, so that a second import stores nothing; nothing is typed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::journal::{AppendError, Draft, Outcome, Receipt};
use swarm_common::json::Object;
use swarm_common::message::{Accepted, Ids, Message};
use swarm_common::ndjson::Out;
use swarm_common::store::Store;
use swarm_common::{identity, time};
use swarm_send::answer as sent;
use swarm_send::deliver;
use swarm_send::delivery::{Of, Told};
use swarm_send::{overdue, tick};

use crate::answer;
use crate::cli::{self, NAME};

/// Ten thousand entries are some 8 MiB.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What its contents begin with.
const MARK: &str = "[REQUIRES-ACK] ";

/// Why it has been sent again without a DELIVERY of ours.
const IMPORTED: &str = "imported";

/// The file.
#[derive(Deserialize)]
struct Written {
    pending_acks: Vec<Value>,
}

/// One of its entries.
#[derive(Deserialize)]
struct Entry {
    msg_id: String,
    sender_id: String,
    recipient_id: String,
    message: Said,
    #[serde(default)]
    sent_at: String,
    #[serde(default)]
    retry_count: u32,
    #[serde(default)]
    next_retry_at: String,
}

/// Its message, which is empty where its sender was killed.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    msg_type: Option<String>,
    #[serde(default)]
    content: Option<String>,
}

/// A message of one or more entries.
struct Letter {
    message: Message,
    /// How often it was sent again to each.
    tries: Vec<(String, u32)>,
}

/// Takes them over.
///
/// # Errors
/// Status 2 where the file is none of its own, 3 when the system failed.
pub fn import(options: &cli::Import) -> Result<Exit, Failure> {
    let path = Path::new(&options.file);
    let wrong = |why: String| {
        Failure::wrong(format!("{}: nothing that waits in the Python program: {why}", path.display()))
            .hint("that is its PENDING_ACKS.json: {\"pending_acks\":[{\"msg_id\":\"...\",\"sender_id\":\"agent-0\",...},...]}")
    };
    let Written { pending_acks } = serde_json::from_slice(&read(path)?).map_err(|error| wrong(error.to_string()))?;
    let store = Store::open(options.place.store.as_deref())?;
    // Who he is does not matter but for the record.
    let own = identity::who(&store, None, true).ok().and_then(|who| who.own);
    let mut out = Out::stdout()?;
    let (mut letters, mut refused) = (Vec::new(), 0);
    let mut refuse = |out: &mut Out, number: usize, failure: &Failure| {
        refused += 1;
        exit::say(NAME, &format!("left out entry {number}: {}", failure.what));
        out.line(&answer::refused(Some(number as u64), "", failure))
    };
    let mut known: HashMap<String, usize> = HashMap::new();
    for (number, entry) in (1..).zip(pending_acks) {
        match serde_json::from_value::<Entry>(entry).map_err(|error| Failure::wrong(error.to_string())).and_then(Letter::of) {
            Ok(letter) => match letter.message.msg_id.as_ref().and_then(|id| known.get(id)) {
                Some(&at) => Letter::join(&mut letters[at], letter),
                None => {
                    known.insert(letter.message.msg_id.clone().unwrap_or_default(), letters.len());
                    letters.push((number, letter));
                }
            },
            Err(failure) => refuse(&mut out, number, &failure)?,
        }
    }
    let mut ids = Ids::default();
    let mut drafts: Vec<(Accepted, Vec<(String, u32)>)> = Vec::new();
    for (number, Letter { mut message, tries }) in letters {
        message.forced_by = own.clone().filter(|own| message.sender_id.as_ref().is_none_or(|sender| !identity::is_same(own, sender)));
        match message.accept(&mut ids) {
            Ok(accepted) => drafts.push((accepted, tries)),
            Err(failure) => refuse(&mut out, number, &failure)?,
        }
    }
    let (stored, taken) = store_all(&store, &drafts, &mut out)?;
    out.flush()?;
    exit::say(NAME, &format!("{stored} taken over, {} were here before, {} left out", drafts.len() - stored - taken, refused + taken));
    Ok(if refused + taken == 0 { Exit::Yes } else { Exit::No })
}

/// Stores them, and how often each was sent again by then; how many are new, and how many have an id that is another's.
fn store_all(store: &Store, drafts: &[(Accepted, Vec<(String, u32)>)], out: &mut Out) -> Result<(usize, usize), Failure> {
    let journal = store.journal();
    let all: Vec<Draft> = drafts.iter().map(|(accepted, _)| accepted.draft.clone()).collect();
    let receipts = journal.append(&all, &mut |words| exit::say(NAME, words)).map_err(failure)?;
    let mut fold = tick::look(store, &journal)?;
    let (mut retries, mut ids, mut stored, mut taken) = (Vec::new(), Ids::default(), 0, 0);
    for ((Accepted { draft: Draft { msg_id, sender_id, .. }, recipients }, tries), Receipt { seq, outcome }) in drafts.iter().zip(&receipts)
    {
        match outcome {
            Outcome::Stored => {
                stored += 1;
                out.line(&sent::accepted(*seq, msg_id, recipients, None))?;
            }
            Outcome::Repeated => out.line(&sent::repeated(*seq, msg_id))?,
            Outcome::IdTaken { .. } | Outcome::Refused => {
                taken += 1;
                let failure = Failure::wrong(format!("msg_id {msg_id} is that of another's message (seq {seq})"));
                exit::say(NAME, &format!("left out: {}", failure.what));
                out.line(&answer::refused(None, msg_id, &failure))?;
                continue;
            }
        }
        // Also where one was killed before it wrote that down.
        for waiting in fold.state().of(msg_id) {
            let count = tries.iter().find(|(id, _)| identity::is_same(id, waiting.agent_id)).map_or(0, |(_, count)| *count);
            if waiting.tries < count {
                let outcome = deliver::Outcome::of(waiting.agent_id, deliver::Word::Queued, IMPORTED);
                let of = Of { seq: *seq, msg_id, sender_id };
                retries.push(overdue::retry_draft(of, &Told { outcome, is_wake: false }, count, false, &mut ids));
            }
        }
    }
    journal.append(&retries, &mut |words| exit::say(NAME, words)).map_err(failure)?;
    fold.catch_up(&journal)?;
    Ok((stored, taken))
}

fn failure(error: AppendError) -> Failure {
    match error {
        AppendError::Failed(failure) | AppendError::Partly { failure, .. } => {
            failure.hint("what was stored stays; import it again: nothing is stored twice")
        }
        AppendError::Unknown { why, .. } => Failure::system(format!("the disk did not confirm what was stored: {why}")),
    }
}

impl Letter {
    fn of(entry: Entry) -> Result<Letter, Failure> {
        let Entry { msg_id, sender_id, recipient_id, message, sent_at, retry_count, next_retry_at } = entry;
        let Some(content) = message.content else {
            return Err(Failure::wrong(format!("{msg_id} has no message: its sender was killed before it was sent")));
        };
        let utc = |naive: &str| time::timestamp(naive.as_bytes()).map(time::write).unwrap_or_default();
        let imported = Object::new()
            .text("sent_at", &utc(&sent_at))
            .plain("retry_count", Some(retry_count))
            .text("next_retry_at", &utc(&next_retry_at));
        let message = Message {
            msg_id: Some(msg_id),
            msg_type: message.msg_type,
            sender_id: Some(sender_id),
            recipients: Some(vec![recipient_id.clone()]),
            requires_ack: Some(true),
            data: Some(Object::new().object("imported", Some(imported)).end()),
            content: Some(content.strip_prefix(MARK).unwrap_or(&content).to_string()),
            ..Message::default()
        };
        Ok(Letter { message, tries: vec![(recipient_id, retry_count)] })
    }

    /// The same message to another.
    fn join((_, letter): &mut (usize, Letter), other: Letter) {
        letter.message.recipients.iter_mut().for_each(|recipients| recipients.extend(other.message.recipients.iter().flatten().cloned()));
        letter.tries.extend(other.tries);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::wrong(format!("{}: no such file", path.display())).hint("the Python program's PENDING_ACKS.json")
        }
        _ => Failure::io(format_args!("read {}", path.display()), error),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::wrong(format!("{}: more than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}
