//! Lease events for the journal: LOCKED, RELEASED, EXPIRED, STOLEN. They say what happened; the table says what is.

use jiff::Timestamp;
use swarm_common::journal::Draft;
use swarm_common::json;
use swarm_common::message::Ids;
use swarm_common::time;

use crate::lease::Mode;

/// A record has at most 64 KiB: of a grant of thousands of paths so much is written, and the rest counted.
const PATHS_BYTES_MAX: usize = 32 * 1024;

/// What happened to a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `LOCKED`, `RELEASED`, `EXPIRED`, `STOLEN`.
    pub msg_type: &'static str,
    /// Whose lease it is, or was.
    pub agent_id: &'a str,
    /// Who took it from its holder.
    pub by: Option<&'a str>,
    /// Its token.
    pub token: u64,
    /// How it is held.
    pub mode: Mode,
    /// What of it.
    pub paths: &'a [String],
    /// Until when, where it is held.
    pub expires_at: Option<Timestamp>,
    /// What for.
    pub reason: &'a str,
}

impl Event<'_> {
    /// The record. Those who lost a lease are its recipients; the rest is for whoever looks. `forced_by` did it in its sender's name.
    pub fn draft(&self, forced_by: Option<&str>, ids: &mut Ids) -> Draft {
        let Event { msg_type, agent_id, by, token, mode, paths, expires_at, reason } = self;
        let sender_id = by.unwrap_or(agent_id);
        let mut body = format!("\"msg_type\":\"{msg_type}\",\"sender_id\":").into_bytes();
        json::write_string(sender_id, &mut body);
        if let Some(forced_by) = forced_by {
            body.extend_from_slice(b",\"forced_by\":");
            json::write_string(forced_by, &mut body);
        }
        if matches!(*msg_type, "EXPIRED" | "STOLEN") {
            body.extend_from_slice(b",\"recipients\":[");
            json::write_string(agent_id, &mut body);
            body.push(b']');
        }
        body.extend_from_slice(format!(",\"data\":{{\"token\":{token},\"agent_id\":").as_bytes());
        json::write_string(agent_id, &mut body);
        body.extend_from_slice(format!(",\"mode\":\"{}\",\"paths\":[", mode.word()).as_bytes());
        let (start, mut told) = (body.len(), 0);
        for path in *paths {
            if body.len() - start > PATHS_BYTES_MAX {
                break;
            }
            if told > 0 {
                body.push(b',');
            }
            json::write_string(path, &mut body);
            told += 1;
        }
        body.push(b']');
        if told < paths.len() {
            body.extend_from_slice(format!(",\"paths_left_out\":{}", paths.len() - told).as_bytes());
        }
        if let Some(expires_at) = expires_at {
            body.extend_from_slice(format!(",\"expires_at\":\"{}\"", time::write(*expires_at)).as_bytes());
        }
        if !reason.is_empty() {
            body.extend_from_slice(b",\"reason\":");
            json::write_string(reason, &mut body);
        }
        body.extend_from_slice(b"},\"content\":");
        let verb = match *msg_type {
            "LOCKED" => "holds",
            "RELEASED" => "gave back",
            "EXPIRED" => "lost by time",
            _ => "took away",
        };
        let first = paths.first().map_or("", String::as_str);
        let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
        let of = by.map_or(String::new(), |_| format!(" of {agent_id}"));
        json::write_string(&format!("{sender_id} {verb} {first}{more}{of}"), &mut body);
        body.push(b'}');
        Draft { msg_id: ids.make(), id_is_own: false, sender_id: sender_id.to_string(), body }
    }
}
