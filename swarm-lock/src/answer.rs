//! What became of a call: NDJSON for programs, and words for people (DESIGN 8).

use std::time::Duration;

use jiff::Timestamp;
use swarm_common::json::Object;

use crate::call;
use crate::conflict::{Conflict, Why};
use crate::lease::{Lease, Standing};
use crate::leases::{Listed, Part, Valid};
use crate::overlap::Decision;
use crate::table::agent::Notice;
use crate::table::ended;

/// So many conflicts are told in words; the rest are counted.
const TOLD_MAX: usize = 10;

fn texts(lease: &Lease) -> impl Iterator<Item = &str> {
    lease.patterns.iter().map(|pattern| pattern.text())
}

/// `{"status":"granted","token":7,...}`
pub fn granted(lease: &Lease, expires_at: Timestamp, is_renewed: bool) -> Vec<u8> {
    Object::new()
        .text("status", "granted")
        .plain("token", Some(lease.token))
        .text("agent_id", &lease.agent_id)
        .text("mode", lease.mode.word())
        .list("paths", texts(lease))
        .time("expires_at", Some(expires_at))
        .plain("renewed", is_renewed.then_some(true))
        .end()
}

/// `{"status":"conflict","path":..,"held":..}`; from `who`, with the status `held`.
pub fn conflict(status: &str, conflict: &Conflict) -> Vec<u8> {
    let Conflict { path, held, agent_id, token, mode, since, expires_at, reason, witness, why, circle, sign: _ } = conflict;
    let object = Object::new()
        .text("status", status)
        .text("path", path)
        .text("held", held)
        .text("agent_id", agent_id.as_deref().unwrap_or(""))
        .plain("token", *token)
        .text("mode", mode.word())
        .time("since", *since)
        .time("expires_at", *expires_at)
        .text("reason", reason)
        .text("witness", witness.as_deref().unwrap_or(""))
        .plain("decided", Some(witness.is_some()))
        .text("why", why.word());
    let object = if circle.is_empty() { object } else { object.list("circle", circle.iter().map(String::as_str)) };
    let object = if *why == Why::Damaged { object.text("hint", "swarm-lock sweep --damaged") } else { object };
    object.end()
}

/// `{"status":"released","token":7,...}`, `renewed`, `stolen`, `expired`
pub fn part(status: &str, part: &Part) -> Vec<u8> {
    Object::new()
        .text("status", status)
        .plain("token", Some(part.token))
        .text("agent_id", &part.agent_id)
        .text("mode", part.mode.word())
        .list("paths", part.paths.iter().map(String::as_str))
        .time("expires_at", part.expires_at)
        .end()
}

/// `{"status":"refused","path":..,"error":..}`: what was named, or the grant of a token, and is not one's own.
pub fn refused(token: Option<u64>, argument: &str, holder: Option<&Part>) -> Vec<u8> {
    let object = Object::new().text("status", "refused").text("path", if token.is_some() { "" } else { argument });
    match holder {
        None => object.plain("token", token).text("error", "not held"),
        Some(part) => object
            .text("error", "held by another")
            .text("agent_id", &part.agent_id)
            .plain("token", Some(part.token))
            .time("expires_at", part.expires_at),
    }
    .end()
}

/// A lock of the Python program that is not taken over.
pub struct Skipped<'a> {
    /// The file's name.
    pub file: &'a str,
    /// In a word.
    pub why: &'static str,
    /// In words; may be empty.
    pub error: &'a str,
    /// Whose it is; may be empty.
    pub agent_id: &'a str,
    /// What it is about; may be empty.
    pub path: &'a str,
}

/// `{"status":"skipped","file":..,"why":"stale"}`
pub fn skipped(skipped: &Skipped<'_>) -> Vec<u8> {
    let Skipped { file, why, error, agent_id, path } = skipped;
    Object::new()
        .text("status", "skipped")
        .text("file", file)
        .text("agent_id", agent_id)
        .text("path", path)
        .text("why", why)
        .text("error", error)
        .end()
}

/// A lease as `list` shows it: its stored members, which are canonical already. Written to `room`, for a long list is written fast.
pub fn listed(listed: &Listed<'_>, mut room: Vec<u8>) -> Vec<u8> {
    let Listed { rows, standing, waiters } = listed;
    room.clear();
    let mut object = Object::in_room(room);
    // It ends with the part that ends first.
    let Some(row) = rows.iter().min_by_key(|row| row.ends_us) else { return object.end() };
    match row.shown.filter(|_| rows.len() == 1) {
        Some(shown) => object = object.members(&shown[1..]),
        None => {
            let mut paths = Vec::new();
            for (n, list) in rows.iter().map(|row| row.list()).enumerate() {
                paths.push(if n == 0 { b'[' } else { b',' });
                paths.extend_from_slice(&list[1..list.len() - 1]);
            }
            paths.push(b']');
            object = object.plain("token", Some(row.token)).raw("agent_id", row.raw(row.agent_id));
            object = object.raw("mode", row.mode.word().as_bytes()).json("paths", &paths);
            for (name, text) in [("since", row.since), ("expires_at", row.expires_at), ("reason", row.reason)] {
                if let Some(text) = text {
                    object = object.raw(name, row.raw(text));
                }
            }
            object = object.plain("pid", row.pid);
        }
    }
    object.plain("waiters", (*waiters > 0).then_some(waiters)).text("ended", standing_word(*standing)).end()
}

/// How a lease ended; nothing while it is in force.
pub fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Alive => "",
        Standing::Expired => "expired",
        Standing::Gone => "gone",
    }
}

/// `{"overlap":true,"witness":..,"decided":true}`
pub fn overlap(decision: &Decision) -> Vec<u8> {
    let (is_overlap, witness, is_decided) = match decision {
        Decision::Disjoint => (false, "", true),
        Decision::Overlap { witness } => (true, witness.as_str(), true),
        Decision::Undecided => (true, "", false),
    };
    Object::new().plain("overlap", Some(is_overlap)).text("witness", witness).plain("decided", Some(is_decided)).end()
}

/// `{"valid":true,"token":7}`
pub fn checked(token: u64, argument: &str, valid: Valid) -> Vec<u8> {
    match valid {
        Valid::Yes => Object::new().plain("valid", Some(true)).plain("token", Some(token)).end(),
        Valid::No(why) => Object::new()
            .plain("valid", Some(false))
            .plain("token", Some(token))
            .text("path", argument)
            .text("why", why.map_or("unknown", ended::Why::word))
            .end(),
    }
}

/// The conflicts in words: what happened, and what to do besides asking again.
pub fn words(conflicts: &[Conflict], now: Timestamp) -> (Vec<String>, Vec<String>) {
    let mut told: Vec<String> = conflicts.iter().take(TOLD_MAX).map(|conflict| in_words(conflict, now)).collect();
    if conflicts.len() > TOLD_MAX {
        told.push(format!("and {} more", conflicts.len() - TOLD_MAX));
    }
    let mut hints = Vec::new();
    if let Some(first) = conflicts.first() {
        match (&first.why, &first.agent_id) {
            (Why::Damaged, _) => hints.push("forget what it may have held:  swarm-lock sweep --damaged".to_string()),
            (Why::Deadlock, _) => hints.push("give back what the others wait for:  swarm-lock list, swarm-lock release".to_string()),
            (_, Some(agent_id)) => {
                hints.push(format!(
                    "ask for it:   swarm-send --to {agent_id} --type question {}",
                    call::quoted(&format!("May I have {}?", first.path))
                ));
            }
            _ => {}
        }
    }
    (told, hints)
}

fn in_words(conflict: &Conflict, now: Timestamp) -> String {
    let Conflict { path, held, agent_id, expires_at, reason, witness, why, circle, .. } = conflict;
    let who = agent_id.as_deref().unwrap_or("nobody knows whom");
    let through = if held == path { String::new() } else { format!(" through {held}") };
    let left = expires_at.map_or(String::new(), |at| format!(" for another {}", span(at.duration_since(now).unsigned_abs())));
    let reason = if reason.is_empty() { String::new() } else { format!(" (reason: {reason:?})") };
    let meeting = match witness {
        None => " (whether the two meet was too costly to decide: it counts as a conflict)".to_string(),
        Some(witness) if witness != path && witness != held => format!("; both cover {witness}"),
        Some(_) => String::new(),
    };
    match why {
        Why::Held => format!("{path} is held by {who}{through}{left}{reason}{meeting}"),
        Why::Waiting => format!("{path}: {who} waits for it{through}, and came first{reason}{meeting}"),
        Why::Damaged => format!("{path}: what is held in {held} is not known, for a file of the table was damaged"),
        Why::Deadlock => {
            format!(
                "{path} is held by {who}{through}, and to wait would be a deadlock: {} wait for each other in a circle",
                circle.join(", ")
            )
        }
    }
}

/// A lease that was lost, in words.
pub fn notice(notice: &Notice, now: Timestamp) -> String {
    let Notice { token, why, is_gone, paths, at, by, reason } = notice;
    let first = paths.first().map_or("", String::as_str);
    let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
    let reason = if reason.is_empty() { String::new() } else { format!(" (reason: {reason:?})") };
    let ago = span(now.duration_since(*at).unsigned_abs());
    match (why, by) {
        (ended::Why::Stolen, Some(by)) => format!("your lease on {first}{more} (token {token}) was taken by {by} {ago} ago{reason}"),
        _ if *is_gone => format!("your lease on {first}{more} (token {token}) has ended with the process that it was tied to{reason}"),
        _ => format!("your lease on {first}{more} (token {token}) has ended: it was not renewed in time{reason}"),
    }
}

/// A span as people say it: `3m12s`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s:02}s"),
        (0, h, m, _) => format!("{h}h{m:02}m"),
        (d, h, _, _) => format!("{d}d{h:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_as_people_say_it() {
        for (seconds, words) in [(0, "0s"), (59, "59s"), (192, "3m12s"), (3_660, "1h01m"), (90_000, "1d01h")] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
    }
}
