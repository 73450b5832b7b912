//! Fencing tokens: each larger than all before it, power cuts included, and for one sync in a thousand of them.
//!
//! The file says which token is next, and a ceiling, and whether that was synced: no token of its block is given before. Where the next one
//! was written is not synced: after another boot it is not believed, and a new block begins at the ceiling.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use swarm_common::json::{Scanner, Value, Walk};
use swarm_common::{files, platform};

use crate::clock::Clock;

/// Tokens a sync.
const BLOCK: u64 = 1_024;
/// The file has this length for ever: it lies in one sector, and a write over it is whole or not at all.
const FILE_BYTES: usize = 128;

struct State {
    next: u64,
    ceiling: u64,
    /// The ceiling is on disk.
    is_synced: bool,
    is_this_boot: bool,
}

impl State {
    const NEW: State = State { next: 1, ceiling: 1, is_synced: true, is_this_boot: true };
}

/// Takes the next token from the file at `path`, under the table's lock. `is_new` says that the table never gave one; where it did and the file
/// cannot be read, the tokens go on from the clock, in milliseconds, which is beyond all that were counted: `note` is told.
///
/// # Errors
/// What the system says; no token was taken.
pub fn take(path: &Path, clock: &Clock, is_new: bool, note: &mut dyn FnMut(&str)) -> io::Result<u64> {
    let file = files::open_or_create(path)?;
    // Of a first writer that was killed the file may be there, and empty.
    let is_empty = file.metadata()?.len() == 0;
    let state = if is_empty && is_new { Some(State::NEW) } else { read(&file, clock)? };
    let state = match state {
        Some(state) => state,
        None => {
            let next = u64::try_from(clock.now.as_millisecond()).unwrap_or(1);
            note(&format!("{} cannot be read: tokens go on at {next}", path.display()));
            State { next, ceiling: next, is_synced: true, is_this_boot: true }
        }
    };
    let token = if state.is_this_boot { state.next } else { state.ceiling };
    if token < state.ceiling && state.is_this_boot && state.is_synced {
        write(&file, clock, State { next: token + 1, ..state })?;
        return Ok(token);
    }
    // A block whose sync failed, or whose writer was killed in it, is synced by the next one, with another ceiling: pages that were
    // written again are synced again.
    let ceiling = token.max(state.ceiling).saturating_add(BLOCK);
    write(&file, clock, State { next: token, ceiling, is_synced: false, is_this_boot: true })?;
    platform::sync_data(&file)?;
    // The names that lead to it have to be found again too.
    for dir in path.ancestors().skip(1).take(2) {
        platform::sync_dir(dir)?;
    }
    write(&file, clock, State { next: token + 1, ceiling, is_synced: true, is_this_boot: true })?;
    Ok(token)
}

fn read(file: &File, clock: &Clock) -> io::Result<Option<State>> {
    let mut bytes = [0; FILE_BYTES];
    let mut len = 0;
    while len < FILE_BYTES {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let (mut next, mut ceiling, mut is_synced, mut is_this_boot) = (None, None, None, None);
    let whole = Scanner::new().members(&bytes[..len], |key, value| {
        match value {
            Value::String(id) if key.is(b"boot_id") => is_this_boot = Some(id.is(clock.boot_id.as_bytes())),
            Value::Bool(synced) if key.is(b"synced") => is_synced = Some(synced),
            _ if key.is(b"next") => next = value.as_u64(),
            _ if key.is(b"ceiling") => ceiling = value.as_u64(),
            _ => {}
        }
        Walk::On
    });
    let state = || Some(State { next: next?, ceiling: ceiling?, is_synced: is_synced?, is_this_boot: is_this_boot? });
    let state = state();
    Ok(state.filter(|state| whole == Ok(true) && (1..=state.ceiling).contains(&state.next) && state.ceiling < u64::MAX / 2))
}

fn write(file: &File, clock: &Clock, state: State) -> io::Result<()> {
    let State { next, ceiling, is_synced, .. } = state;
    let mut line = format!("{{\"next\":{next},\"ceiling\":{ceiling},\"synced\":{is_synced},\"boot_id\":\"{}\"}}", clock.boot_id);
    debug_assert!(line.len() < FILE_BYTES, "two numbers and a boot id");
    line.extend(std::iter::repeat_n(' ', FILE_BYTES.saturating_sub(line.len() + 1)));
    line.push('\n');
    file.write_all_at(line.as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn clock(boot_id: &str) -> Clock {
        Clock { boot_id: boot_id.into(), boot_us: 1, now: Timestamp::from_second(1_800_000_000).expect("a time") }
    }

    #[test]
    fn tokens_rise_by_one_and_after_another_boot_go_on_above_all_that_may_have_been_given() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        let quiet = &mut |words: &str| panic!("{words}");
        let (one, two) = (clock("one"), clock("two"));
        let first: Vec<u64> = (0..3000).map(|_| take(&path, &one, true, quiet).expect("a token")).collect();
        assert_eq!(first, (1..=3000).collect::<Vec<_>>());
        // What a power cut may leave: the last sync's content.
        let ceiling = 1 + 3 * BLOCK;
        let after = take(&path, &two, false, quiet).expect("a token");
        assert_eq!(after, ceiling, "above every token of the block that was begun");
        assert_eq!(take(&path, &two, false, quiet).ok(), Some(after + 1));
    }

    #[test]
    fn a_first_writer_who_was_killed_before_he_wrote_left_nothing_to_tell_of() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        std::fs::write(&path, "").expect("written");
        assert_eq!(take(&path, &clock("one"), true, &mut |words| panic!("{words}")).expect("a token"), 1);
    }

    #[test]
    fn a_block_whose_sync_is_not_known_to_have_happened_is_synced_before_a_token_of_it_is_given() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        let one = clock("one");
        assert_eq!(take(&path, &one, true, &mut |words| panic!("{words}")).ok(), Some(1));
        // As a writer leaves it that was killed before its sync.
        let file = files::open_or_create(&path).expect("opened");
        write(&file, &one, State { next: 1025, ceiling: 2049, is_synced: false, is_this_boot: true }).expect("written");
        assert_eq!(take(&path, &one, false, &mut |words| panic!("{words}")).ok(), Some(1025));
        let state = read(&file, &one).expect("read").expect("a state");
        assert_eq!((state.next, state.ceiling, state.is_synced), (1026, 3073, true));
    }

    #[test]
    fn a_lost_or_damaged_file_is_told_and_tokens_go_on_from_the_clock() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        for content in [None, Some("garbage"), Some(""), Some("{\"next\":9,\"ceiling\":2,\"synced\":true,\"boot_id\":\"one\"}")] {
            let _ = std::fs::remove_file(&path);
            if let Some(content) = content {
                std::fs::write(&path, content).expect("written");
            }
            let mut told = 0;
            let token = take(&path, &clock("one"), false, &mut |_| told += 1).expect("a token");
            assert_eq!((token, told), (1_800_000_000_000, 1), "{content:?}");
            assert_eq!(take(&path, &clock("one"), false, &mut |_| told += 1).ok(), Some(token + 1));
            assert_eq!(told, 1);
        }
    }
}
