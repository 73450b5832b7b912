//! How grants ended: a ring of fixed slots, by token. It says why a token is no longer good, and that an end was told already. What is in
//! the table overrules it; what 4,096 newer ends have written over is forgotten.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use swarm_common::files;
use swarm_common::json::{Scanner, Value, Walk};

const SLOTS: u64 = 4_096;
const SLOT_BYTES: usize = 64;

/// How a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time was over, or the process it was tied to.
    Expired,
    /// Its holder gave it back.
    Released,
    /// Another took it away.
    Stolen,
}

impl Why {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Why::Expired => "expired",
            Why::Released => "released",
            Why::Stolen => "stolen",
        }
    }
}

/// Writes down how the grant of `token` ended, or a part of it.
///
/// # Errors
/// What the system says.
pub fn put(path: &Path, token: u64, why: Why) -> io::Result<()> {
    let file = files::open_or_create(path)?;
    let mut slot = format!("{{\"token\":{token},\"why\":\"{}\"}}", why.word());
    slot.extend(std::iter::repeat_n(' ', SLOT_BYTES.saturating_sub(slot.len() + 1)));
    slot.push('\n');
    file.write_all_at(slot.as_bytes(), offset(token))
}

/// How the grant of `token` ended, as far as is known.
pub fn get(path: &Path, token: u64) -> Option<Why> {
    let mut slot = [0; SLOT_BYTES];
    files::open_if_there(path).ok()??.read_exact_at(&mut slot, offset(token)).ok()?;
    let (mut is_it, mut why) = (false, None);
    let whole = Scanner::new().members(&slot, |key, value| {
        if key.is(b"token") {
            is_it = value.as_u64() == Some(token);
        } else if let Value::String(word) = value {
            why = [Why::Expired, Why::Released, Why::Stolen].into_iter().find(|why| word.is(why.word().as_bytes()));
        }
        Walk::On
    });
    why.filter(|_| is_it && whole == Ok(true))
}

fn offset(token: u64) -> u64 {
    token % SLOTS * SLOT_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_found_until_a_newer_one_takes_its_slot() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ended");
        assert_eq!(get(&path, 7), None);
        for (token, why) in [(7, Why::Expired), (8, Why::Stolen), (4095, Why::Released), (u64::MAX, Why::Released)] {
            put(&path, token, why).expect("written");
            assert_eq!(get(&path, token), Some(why));
        }
        assert_eq!((get(&path, 7), get(&path, 6), get(&path, 4095)), (Some(Why::Expired), None, None));
        put(&path, 7 + SLOTS, Why::Released).expect("written");
        assert_eq!(get(&path, 7), None);
    }
}
