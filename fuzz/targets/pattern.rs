//! Two patterns: parsed or refused, never a panic; the decision is the same both ways, and a witness is covered by both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarm_lock::normalise::{Reading, normalise};
use swarm_lock::overlap::{Decision, overlap};
use swarm_lock::pattern::{Pattern, escape, is_legal};

fuzz_target!(|texts: (&str, &str)| {
    for reading in [Reading::Glob, Reading::Literal] {
        if let Ok(text) = normalise("/the/root", "a/[b]", texts.0, reading) {
            // What is normalised once stays as it is, read from the root.
            assert_eq!(normalise("/the/root", "", &text, reading).as_ref(), Ok(&text));
        }
    }
    if let (Ok(literal), Ok(escaped)) = (Pattern::literal(texts.0), Pattern::glob(&escape(texts.0))) {
        assert_eq!(literal, escaped);
    }
    let (Ok(a), Ok(b)) = (Pattern::glob(texts.0), Pattern::glob(texts.1)) else { return };
    match (overlap(&a, &b), overlap(&b, &a)) {
        (Decision::Overlap { witness }, Decision::Overlap { witness: back }) => {
            assert_eq!(witness.chars().count(), back.chars().count());
            for path in [witness, back] {
                assert!(is_legal(&path) && a.covers(&path) && b.covers(&path), "{path:?}");
                assert!(path.starts_with(a.prefix()) && path.starts_with(b.prefix()), "{path:?}");
            }
        }
        // The two ways look at the pairs in another order, and may differ in whether the budget does.
        (Decision::Undecided, _) | (_, Decision::Undecided) => {}
        (one, other) => assert_eq!(one, other),
    }
    // A pattern always meets itself.
    assert_ne!(overlap(&a, &a), Decision::Disjoint);
});
