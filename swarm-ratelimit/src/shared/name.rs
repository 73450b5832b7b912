//! The file name of a shared window: `agent-1@10-per-1m`, so that `ls` shows what it is.
//!
//! Each limit has files of its own: two limits on one key are two windows, as they would be in two processes. Fields other
//! than sender_id are named in front (`thread=auth@10-per-1m`).

use std::fmt::Write as _;

use crate::window::Key;
use swarm_common::limit::Limit;

/// The longest part of a name that says whose window it is. With the limit it stays below the 255 bytes of a file name.
const WHOSE_BYTES_MAX: usize = 150;

/// The field whose values stand in a file name alone.
pub const PLAIN_FIELD: &str = "sender_id";

/// The name of the file of `key`, a value of `field`, under `limit`.
pub(super) fn file_name(field: &str, key: Key<'_>, limit: &Limit) -> String {
    let mut whose = String::with_capacity(64);
    if field != PLAIN_FIELD && key != Key::All {
        encode(field.as_bytes(), &mut whose);
        whose.push('=');
    }
    match key {
        // No encoded value looks like these: a % there is followed by two digits in upper case.
        Key::All => whose.push_str("%all"),
        Key::Missing => whose.push_str("%none"),
        Key::Of(value) => encode(value, &mut whose),
    }
    if whose.len() > WHOSE_BYTES_MAX {
        let hash = fnv1a(whose.as_bytes());
        // Only ASCII was written, so any cut is between characters. The ~ stands in no encoded name.
        whose.truncate(WHOSE_BYTES_MAX - 33);
        let _ = write!(whose, "~{hash:032x}");
    }
    let limit = limit.to_string().replace('/', "-per-");
    let _ = write!(whose, "@{limit}");
    whose
}

/// The limit that a file's name ends with; `None` when it is no name of ours.
pub(super) fn limit_of(name: &str) -> Option<Limit> {
    let (_, limit) = name.rsplit_once('@')?;
    Limit::parse(&limit.replacen("-per-", "/", 1)).ok()
}

/// Percent-encoding of everything but letters, digits, `.`, `_`, `-`; and of a dot in front, which would hide the file.
fn encode(value: &[u8], to: &mut String) {
    for (n, &byte) in value.iter().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && n > 0) {
            to.push(char::from(byte));
        } else {
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

/// 128-bit FNV-1a (Fowler, Noll, Vo): the same in every version of every program, which std's hashes do not promise. Two keys that are made to
/// collide share a window, which harms nobody but whoever made them.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(value: &[u8]) -> String {
        file_name(PLAIN_FIELD, Key::Of(value), &Limit::DEFAULT)
    }

    #[test]
    fn a_name_can_be_read_and_leads_nowhere_else() {
        assert_eq!(name(b"agent-1"), "agent-1@10-per-1m");
        assert_eq!(name(b"../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd@10-per-1m");
        assert_eq!(name(b"a@b%c~d e\0"), "a%40b%25c%7Ed%20e%00@10-per-1m");
        assert_eq!(name(b""), "@10-per-1m");
        assert_eq!(file_name("thread", Key::Of(b"auth"), &Limit::DEFAULT), "thread=auth@10-per-1m");
        assert_eq!(file_name("thread", Key::Missing, &Limit::DEFAULT), "thread=%none@10-per-1m");
        assert_eq!(file_name("thread", Key::All, &Limit::DEFAULT), "%all@10-per-1m");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    proptest! {
        #[test]
        fn two_keys_have_two_names_that_a_file_can_have(a in prop::collection::vec(any::<u8>(), 0..300), b in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(name(&a) == name(&b), a == b);
            prop_assert_eq!(limit_of(&name(&a)), Some(Limit::DEFAULT));
            prop_assert!(name(&a).len() <= 255 && !name(&a).starts_with('.') && !name(&a).contains(['/', '\0']));
            let mut longer = vec![b'x'; 300];
            longer.extend(&a);
            prop_assert!(name(&longer) != name(&longer[1..]));
        }
    }
}
