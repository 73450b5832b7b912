//! What people are told of a stream on stderr: who is over the limit, once each, and how much it was in the end. Bounded, however many
//! keys there are.

use swarm_common::exit;
use swarm_common::text;

use crate::cli::NAME;
use crate::record::By;
use crate::window::Key;
use swarm_common::limit::Limit;

/// So many keys are told one by one.
const TOLD_MAX: usize = 10;

/// The most characters of a key that are shown.
const KEY_CHARS_MAX: usize = 64;

/// What was told already, and what has to be told at the end.
pub struct Notices {
    limit: Limit,
    by: By,
    /// Where dropped lines are kept.
    kept_in: Option<String>,
    told: Vec<Box<[u8]>>,
    is_apart_told: bool,
    is_full: bool,
    is_crowded: bool,
    dropped: u64,
}

impl Notices {
    /// Nothing was told yet.
    pub fn new(limit: Limit, by: By, kept_in: Option<String>) -> Notices {
        Notices { limit, by, kept_in, told: Vec::new(), is_apart_told: false, is_full: false, is_crowded: false, dropped: 0 }
    }

    /// A record was dropped: says so where it is the first of its key.
    pub fn dropped(&mut self, key: Key<'_>) {
        self.dropped += 1;
        match key {
            Key::Of(name) if self.told.iter().any(|told| **told == *name) => return,
            Key::Of(_) if self.is_full => return,
            Key::Of(_) if self.told.len() == TOLD_MAX => {
                self.is_full = true;
                exit::say(NAME, &format!("more than {TOLD_MAX} keys are over {}: the others are not named", self.limit));
                return;
            }
            Key::Of(name) => self.told.push(name.into()),
            Key::All | Key::Missing if self.is_apart_told => return,
            Key::All | Key::Missing => self.is_apart_told = true,
        }
        let what = match (key, &self.by) {
            (Key::All, _) => "the stream is".to_string(),
            (Key::Missing, By::Field(field)) => format!("what has no {} is", text::excerpt(field.as_bytes(), KEY_CHARS_MAX)),
            (Key::Missing, _) => "what has no sender_id is".to_string(),
            (Key::Of(name), _) => format!("{} is", text::excerpt(name, KEY_CHARS_MAX)),
        };
        let fate = if self.kept_in.is_some() { "rejected" } else { "dropped" };
        exit::say(NAME, &format!("{what} over {}: the rest is {fate}", self.limit));
    }

    /// Keys share a window, because there are more than `keys_max`: says so once.
    pub fn crowded(&mut self, keys_max: usize) {
        if !self.is_crowded {
            self.is_crowded = true;
            exit::say(NAME, &format!("more than {keys_max} keys: those beyond them share one window (--max-keys)"));
        }
    }

    /// At the end: how many were dropped, and what became of them.
    pub fn sum_up(&self) {
        if self.dropped > 0 {
            let fate = match &self.kept_in {
                Some(file) => format!("kept in {file}"),
                None => "dropped".to_string(),
            };
            exit::say(NAME, &format!("{} over {}, {fate}", records(self.dropped), self.limit));
        }
    }

    /// The stream ended while `count` records waited.
    pub fn given_up(&self, count: u64) {
        match &self.kept_in {
            Some(file) => exit::say(NAME, &format!("{} waited and did not go out: kept in {file}", records(count))),
            None => exit::say(NAME, &format!("{} waited and did not go out: lost (--reject FILE would keep them)", records(count))),
        }
    }
}

fn records(count: u64) -> String {
    if count == 1 { "1 record".to_string() } else { format!("{count} records") }
}
