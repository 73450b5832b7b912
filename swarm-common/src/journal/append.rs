//! Appending: under the lock, one write, one sync, then the answer.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use fs2::FileExt;

use super::segments::{self, head};
use super::{AppendError, Draft, Journal, Outcome, Receipt};
use crate::exit::Failure;
use crate::{json, platform, time};

pub(super) fn append(journal: &Journal, batch: &[Draft], note: &mut dyn FnMut(&str)) -> Result<Vec<Receipt>, AppendError> {
    let dir = &journal.dir;
    let failed = |error: std::io::Error| AppendError::Failed(Failure::io(format_args!("append to the journal {}", dir.display()), &error));
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock")).map_err(failed)?;
    FileExt::lock_exclusive(&lock).map_err(failed)?;
    let mut all = Vec::new();
    let found = segments::list(dir).map_err(AppendError::Failed)?;
    let mut live = found.last().copied().unwrap_or(1);
    let mut next_seq = live;
    let mut timestamp = time::now();
    for &segment in &found {
        let bytes = fs::read(segments::path(dir, segment)).map_err(failed)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        next_seq = segment;
        for line in bytes[..whole].split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let head = head(line).unwrap_or_default();
            timestamp = timestamp.max(head.timestamp.unwrap_or(timestamp));
            all.push((head.msg_id, head.sender_id, next_seq));
            next_seq += 1;
        }
        if segment == live && whole < bytes.len() {
            note("the last line of the journal was cut off: its writer died in it");
            OpenOptions::new().write(true).open(segments::path(dir, segment)).and_then(|f| f.set_len(whole as u64)).map_err(failed)?;
        }
        if segment == live && whole as u64 >= journal.settings.segment_bytes {
            live = next_seq;
        }
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(segments::path(dir, live)).map_err(failed)?;
    let mut out = Vec::new();
    let mut receipts = Vec::new();
    for draft in batch {
        if let Some((_, by, seq)) = all.iter().find(|(id, ..)| draft.id_is_own && *id == draft.msg_id) {
            let outcome = if *by == draft.sender_id { Outcome::Repeated } else { Outcome::IdTaken { by: by.clone() } };
            receipts.push(Receipt { seq: *seq, outcome });
            continue;
        }
        out.extend_from_slice(format!("{{\"seq\":{next_seq},\"msg_id\":").as_bytes());
        json::write_string(&draft.msg_id, &mut out);
        out.extend_from_slice(format!(",\"timestamp\":\"{}\",", time::write(timestamp)).as_bytes());
        out.extend_from_slice(&draft.body);
        out.push(b'\n');
        all.push((draft.msg_id.clone(), draft.sender_id.clone(), next_seq));
        receipts.push(Receipt { seq: next_seq, outcome: Outcome::Stored });
        next_seq += 1;
    }
    file.write_all(&out).map_err(failed)?;
    platform::sync_data(&file).map_err(failed)?;
    Ok(receipts)
}
