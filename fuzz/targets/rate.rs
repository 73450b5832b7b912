//! The bytes of a shared window's file: whatever stands there, the answer keeps to the limit, and the take leaves it whole.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use swarm_common::limit::Limit;
use swarm_common::platform;
use swarm_ratelimit::shared;
use swarm_ratelimit::window::Taken;
use tempfile::TempDir;

/// Stands in the seeds for the id of this boot, which is as long.
const BOOT_ID: &[u8] = b"00000000-0000-0000-0000-000000000000";

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory"));
static THIS_BOOT: LazyLock<String> = LazyLock::new(|| platform::boot_id().expect("a boot id"));

fuzz_target!(|bytes: &[u8]| {
    let limit = Limit::parse("3/1000h").expect("a limit");
    let mut bytes = bytes.to_vec();
    if let Some(at) = bytes.windows(BOOT_ID.len()).position(|window| window == BOOT_ID) {
        bytes[at..at + BOOT_ID.len()].copy_from_slice(THIS_BOOT.as_bytes());
    }
    let path = DIRECTORY.path().join(file_name(DIRECTORY.path(), &limit));
    fs::write(&path, &bytes).expect("written");
    let mut note = |words: &str| assert!(!words.is_empty());
    let peeked = shared::peek(DIRECTORY.path(), "a", &limit, &mut note).expect("peeked");
    assert_eq!(fs::read(&path).expect("read"), bytes, "a peek writes nothing");
    let taken = shared::take(DIRECTORY.path(), "a", &limit, 1, &mut note).expect("taken");
    assert_eq!(peeked.taken == Taken::Yes, taken.taken == Taken::Yes);
    assert!(peeked.used <= 3 && taken.used <= 3);
    let mut used = taken.used;
    for _ in 0..4 {
        let mut note = |words: &str| panic!("it was left damaged: {words}");
        let answer = shared::take(DIRECTORY.path(), "a", &limit, 1, &mut note).expect("taken");
        match answer.taken {
            Taken::Yes => assert_eq!(answer.used, used + 1),
            Taken::No { .. } => assert_eq!((answer.used, used), (3, 3)),
        }
        used = answer.used;
    }
});

/// As the program calls it: found by letting it make one.
fn file_name(directory: &Path, limit: &Limit) -> String {
    static NAME: LazyLock<std::sync::Mutex<Option<String>>> = LazyLock::new(Default::default);
    let mut name = NAME.lock().expect("one thread");
    name.get_or_insert_with(|| {
        shared::take(directory, "a", limit, 1, &mut |_| {}).expect("taken");
        let mut names = fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry").file_name());
        names.find_map(|name| name.to_str().filter(|name| name.starts_with("a@")).map(str::to_string)).expect("a window of a")
    })
    .clone()
}
