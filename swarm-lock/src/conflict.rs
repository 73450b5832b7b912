//! What stands in the way of who asks: a lease, somebody who asked before, or what is not known any more. Decisions over values; no files.

use std::path::PathBuf;

use jiff::Timestamp;
use swarm_common::platform::Process;

use crate::lease::{self, Mode};
use crate::overlap::{self, Decision};
use crate::pattern::{Pattern, ROOT};

/// Why it is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is held.
    Held,
    /// Another waits for it, and came first.
    Waiting,
    /// To wait would close a circle of agents who wait for each other.
    Deadlock,
    /// The file that would say is damaged.
    Damaged,
}

impl Why {
    /// As it is written.
    pub fn word(&self) -> &'static str {
        match self {
            Why::Held => "held",
            Why::Waiting => "waiting",
            Why::Deadlock => "deadlock",
            Why::Damaged => "damaged",
        }
    }
}

/// One thing in the way of one path that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What was asked for.
    pub path: String,
    /// What of the other's is in the way.
    pub held: String,
    /// Whose; nobody knows where a file was damaged.
    pub agent_id: Option<String>,
    /// The lease's token.
    pub token: Option<u64>,
    /// How the other holds it, or wants to.
    pub mode: Mode,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Until when at most.
    pub expires_at: Option<Timestamp>,
    /// What for; may be empty.
    pub reason: String,
    /// A path that both cover; none where that was not decided.
    pub witness: Option<String>,
    /// Why.
    pub why: Why,
    /// The agents of the circle, who asks first.
    pub circle: Vec<String>,
    /// What to watch to learn that it is gone.
    pub sign: Sign,
}

/// What tells that a conflict may be over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sign {
    /// This file changes.
    pub file: PathBuf,
    /// It is a waiter's: it changes when that one leaves.
    pub is_waiter: bool,
    /// This moment comes, in microseconds since the boot.
    pub ends_us: Option<u64>,
    /// This process ends.
    pub tie: Option<Process>,
}

/// Whether a path is covered by both what is asked for and a stored text: none if not, else the witness, where it was decided.
pub fn meet(asked: &Pattern, text: &str, is_literal: bool) -> Option<Option<String>> {
    if text != ROOT {
        // What both begin with must agree: this settles most, without a pattern made.
        let head = if is_literal { text } else { text.find(['*', '?', '[', '{', '\\']).map_or(text, |at| &text[..at]) };
        let common = head.len().min(asked.head().len());
        if head.as_bytes()[..common] != asked.head().as_bytes()[..common] {
            return None;
        }
    }
    // A text that is no pattern here was written by a newer version: it may mean anything.
    let Some(pattern) = lease::pattern(text, is_literal) else { return Some(None) };
    match overlap::overlap(asked, &pattern) {
        Decision::Disjoint => None,
        Decision::Overlap { witness } => Some(Some(witness)),
        Decision::Undecided => Some(None),
    }
}

/// Whether all that is asked for is covered by a stored text. Exact for a path; of a glob, only the plain cases are seen.
pub fn includes(text: &str, is_literal: bool, asked: &Pattern) -> bool {
    if text == ROOT && !is_literal {
        return true;
    }
    let is_within = |path: &str| path.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match (is_literal, asked.is_literal()) {
        (true, true) => is_within(asked.text()),
        (true, false) => is_within(asked.prefix()),
        (false, true) => lease::pattern(text, false).is_some_and(|pattern| pattern.covers(asked.text())),
        (false, false) => text == asked.text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Pattern {
        Pattern::glob(text).expect("a pattern")
    }

    #[test]
    fn what_meets_is_told_with_a_witness() {
        for (asked, text, is_literal, witness) in [
            ("src/a.rs", "src", true, Some("src/a.rs")),
            ("src", "src/a.rs", true, Some("src/a.rs")),
            ("src/*.rs", "src/[a-m]*", false, Some("src/a.rs")),
            ("src/[a-m]*.rs", "src/[n-z]*.rs", false, None),
            ("src/a.rs", "src/b.rs", true, None),
            (".", "a", true, Some("a")),
            ("a", ".", false, Some("a")),
            ("a{b", "a\\{b", false, Some("a{b")),
        ] {
            let asked = if asked == "a{b" { Pattern::literal(asked).expect("a path") } else { glob(asked) };
            assert_eq!(meet(&asked, text, is_literal), witness.map(|witness| Some(witness.to_string())), "{} {text}", asked.text());
        }
        assert_eq!(meet(&glob("a"), "a{", false), Some(None), "a text of no known grammar");
    }

    #[test]
    fn what_is_held_includes_what_lies_below_it() {
        for (text, is_literal, asked, is_included) in [
            ("src", true, "src/a.rs", true),
            ("src", true, "src/*.rs", true),
            ("src", true, "s*", false),
            ("src", true, "src2", false),
            ("src/**", false, "src/a.rs", true),
            ("src/**", false, "src", false),
            ("*", false, "src/a/b", true),
            ("s*", false, "s*", true),
            (".", false, "**", true),
            ("a", true, ".", false),
        ] {
            assert_eq!(includes(text, is_literal, &glob(asked)), is_included, "{text} {asked}");
        }
    }
}
