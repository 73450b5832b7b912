//! The name of the file that holds the leases of one directory.
//!
//! A name is made of lower-case letters, digits and `. _ - + ^ %` alone: a file system that takes upper and lower case, or two spellings of
//! an accent, for one finds nothing to confuse. A directory whose name would be too long for a file is cut, and told apart by a hash.
//! Two directories in one file would do no harm, for a row says itself what it is about.

/// What every name ends with.
const ENDING: &str = ".ndjson";
/// The root's, without the ending; no other directory's begins with it.
const ROOT: &str = "+";
/// A file's name has at most 255 bytes (NAME_MAX): this much of a directory's, a hash and the ending.
const STEM_BYTES_MAX: usize = 200;

/// The file of the leases that lie in directory `dir`; empty for the root.
pub fn of(dir: &str) -> String {
    let mut name = stem(dir);
    name.push_str(ENDING);
    name
}

fn stem(dir: &str) -> String {
    if dir.is_empty() {
        return ROOT.to_string();
    }
    let mut stem = escape(dir);
    if stem.len() > STEM_BYTES_MAX {
        stem.truncate(STEM_BYTES_MAX);
        stem.push_str(&format!("~{:016x}", fnv1a(dir.as_bytes())));
    }
    stem
}

/// The directory whose file this is; none where the name was cut, or is none of ours.
pub fn dir_of(name: &str) -> Option<String> {
    let stem = name.strip_suffix(ENDING).filter(|stem| !stem.contains('~'))?;
    if stem == ROOT {
        return Some(String::new());
    }
    let mut dir = Vec::with_capacity(stem.len());
    let mut bytes = stem.bytes();
    while let Some(byte) = bytes.next() {
        dir.push(match byte {
            b'+' => b'/',
            b'^' => bytes.next().filter(u8::is_ascii_lowercase)?.to_ascii_uppercase(),
            b'%' => {
                let hex = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(dir).ok()
}

/// The files of the directories that may be above the one whose file this is, the root's among them; of a name that was cut, those whose own
/// were not, and the one that ends where it was cut.
pub fn above(name: &str) -> impl Iterator<Item = String> {
    let stem = name.strip_suffix(ENDING).unwrap_or(name);
    let cut = stem.split_once('~').map(|(cut, _)| cut);
    let stem = cut.unwrap_or(stem);
    let root = (stem != ROOT).then(|| format!("{ROOT}{ENDING}"));
    let between = stem.match_indices('+').filter(|(at, _)| *at > 0).map(|(at, _)| format!("{}{ENDING}", &stem[..at]));
    root.into_iter().chain(between).chain(cut.map(|cut| format!("{cut}{ENDING}")))
}

/// True for the file of a directory that may lie in or below `dir`: surely if it does, and for cut names sometimes else.
pub fn may_be_within(name: &str, dir: &str) -> bool {
    if dir.is_empty() {
        return name.ends_with(ENDING);
    }
    let Some(stem) = name.strip_suffix(ENDING) else { return false };
    let above = escape(dir);
    let is_below = |stem: &str| stem.strip_prefix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'));
    match stem.split_once('~') {
        Some((cut, _)) => is_below(cut) || above.starts_with(cut),
        None => is_below(stem),
    }
}

/// Names of files, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// All of them.
    pub all: Vec<String>,
    /// Those that were cut: few, for few directories have such names.
    cut: Vec<String>,
}

impl Names {
    /// Sorts them.
    pub fn of(mut all: Vec<String>) -> Names {
        all.sort_unstable();
        all.dedup();
        let cut = all.iter().filter(|name| name.contains('~')).cloned().collect();
        Names { all, cut }
    }

    /// Those for which [`may_be_within`] holds, but for the directory's own.
    pub fn below<'a>(&'a self, dir: &str) -> impl Iterator<Item = &'a String> + use<'a> {
        let above = if dir.is_empty() { String::new() } else { format!("{}+", escape(dir)) };
        let start = self.all.partition_point(|name| name.as_str() < above.as_str());
        let dir = dir.to_string();
        let cut = self.cut.iter().filter(move |name| may_be_within(name, &dir));
        self.all[start..].iter().take_while(move |name| name.starts_with(&above)).chain(cut)
    }
}

fn escape(dir: &str) -> String {
    let mut escaped = String::with_capacity(dir.len() + 8);
    for byte in dir.bytes() {
        match byte {
            b'/' => escaped.push('+'),
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => escaped.push(char::from(byte)),
            b'A'..=b'Z' => escaped.extend(['^', char::from(byte.to_ascii_lowercase())]),
            byte => escaped.push_str(&format!("%{byte:02x}")),
        }
    }
    escaped
}

/// FNV-1a, 64 bits: the same in every version and on every machine.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_can_be_read() {
        assert_eq!(of("src/auth"), "src+auth.ndjson");
        assert_eq!(of(""), "+.ndjson");
        assert_eq!(of("Src/[id] é"), "^src+%5bid%5d%20%c3%a9.ndjson");
        assert_eq!(above(&of("src/auth/x")).collect::<Vec<_>>(), ["+.ndjson", "src.ndjson", "src+auth.ndjson"]);
        let edge = "a".repeat(STEM_BYTES_MAX);
        assert!(above(&of(&format!("{edge}/x"))).any(|above| above == of(&edge)));
        assert_eq!((above(&of("src")).count(), above(&of("")).count()), (1, 0));
    }

    proptest! {
        #[test]
        fn a_name_fits_a_file_says_its_directory_and_who_is_below(
            dir in "([aB.é+%^~-]{1,5}/){0,3}[aB.é+%^~]{1,300}", below in "([aB]{1,3}/){0,2}[aBé]{1,100}", other in "[aB+]{1,3}"
        ) {
            let name = of(&dir);
            prop_assert!(name.len() <= 255, "{}", name);
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-+^%~".contains(&b)), "{}", name);
            prop_assert!(dir_of(&name).is_none_or(|back| back == dir), "{}", name);
            prop_assert!(dir_of(&name).is_some() || name.contains('~'));
            prop_assert!(may_be_within(&name, &dir) && may_be_within(&name, ""));
            let deep = format!("{dir}/{below}");
            let names = Names::of([of(&dir), of(&deep), of(&other), of("a"), of("a/b"), of("")].to_vec());
            for dir in [&dir, &deep, "a", ""] {
                let mut found: Vec<&String> = names.below(dir).filter(|name| **name != of(dir)).collect();
                found.sort();
                found.dedup();
                let expected: Vec<&String> = names.all.iter().filter(|name| may_be_within(name, dir) && **name != of(dir)).collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert!(name.contains('~') || above(&of(&deep)).any(|above| above == name), "{}", name);
            prop_assert!(may_be_within(&of(&deep), &dir));
            if !of(&deep).contains('~') {
                let beside = format!("{dir}{other}");
                prop_assert!(!may_be_within(&of(&deep), &beside));
                prop_assert!(!may_be_within(&of(&dir), &deep));
            }
        }
    }
}
