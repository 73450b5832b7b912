//! The decision against oracles that know nothing of automata: every legal path up to a length over a small alphabet, matched by a
//! second matcher (expansions as text, backtracking), which globset confirms on what it defines as we do.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use swarm_lock::overlap::{Decision, overlap};
use swarm_lock::pattern::{Pattern, is_legal};

const ALPHABET: [char; 5] = ['a', 'b', '/', '-', '.'];
const LENGTH_MAX: usize = 6;
const PATTERNS: usize = 320;

/// A small generator of its own: the same patterns on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn pattern(&mut self, pieces: u64, depth: u64) -> String {
        let mut text = String::new();
        for _ in 0..self.below(pieces) + 1 {
            match self.below(if depth == 0 { 13 } else { 16 }) {
                0..=3 => text += self.of(&["a", "b", "-", "."]),
                4 | 5 => text += "/",
                6 => text += "*",
                7 => text += "?",
                8 => text += self.of(&["**/", "/**", "/**/", "**"]),
                9 | 10 => text += self.of(&["[ab]", "[!a]", "[^a-b]", "[+-0]", "[b-]", "[\\-a]", "[]-b]", "[!.-]", "[-.]"]),
                11 => text += self.of(&["\\a", "\\.", "\\*", "\\-"]),
                12 => text += self.of(&["/a", "/b", "a/"]),
                _ => {
                    let alternatives: Vec<String> = (0..self.below(3) + 1)
                        .map(|_| if self.below(4) == 0 { String::new() } else { self.pattern(3, depth - 1) })
                        .collect();
                    text += &format!("{{{}}}", alternatives.join(","));
                }
            }
        }
        text
    }
}

/// All expansions of the braces, as text.
fn expand(text: &[char]) -> Vec<String> {
    let (mut i, mut depth, mut open, mut cuts) = (0, 0, None, Vec::new());
    while i < text.len() {
        match text[i] {
            '\\' => i += 1,
            '[' => i = class_end(text, i),
            '{' => {
                depth += 1;
                open = open.or(Some(i));
            }
            ',' if depth == 1 => cuts.push(i),
            '}' => {
                depth -= 1;
                if depth == 0 {
                    cuts.push(i);
                    let (mut from, mut all) = (open.unwrap() + 1, Vec::new());
                    for cut in cuts {
                        let whole: Vec<char> = [&text[..open.unwrap()], &text[from..cut], &text[i + 1..]].concat();
                        all.extend(expand(&whole));
                        from = cut + 1;
                    }
                    return all;
                }
            }
            _ => {}
        }
        i += 1;
    }
    vec![text.iter().collect()]
}

/// Where the class that opens at `i` has its `]`.
fn class_end(text: &[char], mut i: usize) -> usize {
    i += 1;
    if matches!(text[i], '!' | '^') {
        i += 1;
    }
    let first = i;
    while text[i] != ']' || i == first {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i
}

/// One component against one name, by trying.
fn name_matches(glob: &[char], name: &[char]) -> bool {
    match (glob.first(), name.first()) {
        (None, None) => true,
        (Some('*'), _) => name_matches(&glob[1..], name) || (!name.is_empty() && name_matches(glob, &name[1..])),
        (Some('?'), Some(_)) => name_matches(&glob[1..], &name[1..]),
        (Some('\\'), Some(c)) => glob[1] == *c && name_matches(&glob[2..], &name[1..]),
        (Some('['), Some(&c)) => {
            let end = class_end(glob, 0);
            let is_negated = matches!(glob[1], '!' | '^');
            let mut members = Vec::new();
            let mut i = if is_negated { 2 } else { 1 };
            while i < end {
                let is_escaped = glob[i] == '\\';
                i += usize::from(is_escaped);
                members.push((glob[i], is_escaped));
                i += 1;
            }
            let (mut is_in, mut i) = (false, 0);
            while i < members.len() {
                let range = i + 2 < members.len() && members[i + 1] == ('-', false);
                let high = members[if range { i + 2 } else { i }].0;
                is_in |= (members[i].0..=high).contains(&c);
                i += if range { 3 } else { 1 };
            }
            is_in != is_negated && name_matches(&glob[end + 1..], &name[1..])
        }
        (Some(own), Some(c)) => own == c && name_matches(&glob[1..], &name[1..]),
        _ => false,
    }
}

/// Components against names; whatever is left of the path is below.
fn covers(glob: &[&str], path: &[&str]) -> bool {
    match (glob.first(), path.first()) {
        (None, _) => true,
        (Some(&"**"), None) | (Some(_), None) => false,
        (Some(&"**"), Some(_)) => glob.len() == 1 || covers(&glob[1..], path) || covers(glob, &path[1..]),
        (Some(own), Some(name)) => {
            let (own, name): (Vec<char>, Vec<char>) = (own.chars().collect(), name.chars().collect());
            name_matches(&own, &name) && covers(&glob[1..], &path[1..])
        }
    }
}

struct Second(Vec<String>);

impl Second {
    fn new(text: &str) -> Self {
        Self(expand(&text.chars().collect::<Vec<_>>()))
    }

    fn covers(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.0.iter().any(|text| covers(&text.split('/').collect::<Vec<_>>(), &names))
    }

    /// In every expansion, `**` is a whole component.
    fn is_valid(&self) -> bool {
        let stars = |part: &str| part.replace("\\*", "x").contains("**") && part != "**";
        !self.0.iter().any(|text| text.split('/').any(stars))
    }
}

/// Globset, where it means the same: it lets some classes match `/`, has no escapes in them, and knows no `**` that touches a brace.
fn globset(text: &str) -> Option<globset::GlobMatcher> {
    let differs =
        ["[!", "[^", "[+-0]", "[-.]", "[\\"].iter().any(|class| text.contains(class)) || text.contains("**") && text.contains('{');
    // Two stars that only become neighbours in an expansion are a single star to it.
    let plain = text.replace("\\*", "");
    let may_touch = text.contains('{') && plain.matches('*').count() > 1;
    if differs || may_touch {
        return None;
    }
    let glob = globset::GlobBuilder::new(text).literal_separator(true).empty_alternates(true).backslash_escape(true).build().ok()?;
    Some(glob.compile_matcher())
}

/// All legal paths, the shorter ones first.
fn paths() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..LENGTH_MAX {
        let to = all.len();
        for at in from..to {
            for c in ALPHABET {
                all.push(format!("{}{c}", all[at]));
            }
        }
        from = to;
    }
    all.retain(|path| is_legal(path));
    all
}

struct Case {
    text: String,
    pattern: Pattern,
    second: Second,
    /// Which of the paths the second matcher covers, a bit each.
    covered: Vec<u64>,
}

fn cases(paths: &[String]) -> Vec<Case> {
    let mut random = Random(0x5eed_1234_abcd_0001);
    let (mut cases, mut refused): (Vec<Case>, usize) = (Vec::new(), 0);
    while cases.len() < PATTERNS {
        let text = random.pattern(5, 2);
        // The root itself is a name for everything, and no pattern of the grammar.
        if matches!(text.as_str(), "." | "\\.") || cases.iter().any(|case| case.text == text) {
            continue;
        }
        let second = Second::new(&text);
        let mut covered = vec![0_u64; paths.len().div_ceil(64)];
        for (at, path) in paths.iter().enumerate() {
            covered[at / 64] |= u64::from(second.covers(path)) << (at % 64);
        }
        match Pattern::glob(&text) {
            Ok(pattern) => {
                assert!(second.is_valid(), "{text}: ** beside something, and taken");
                cases.push(Case { text, pattern, second, covered });
            }
            Err(failure) => {
                refused += 1;
                let matches_nothing = failure.what.contains("no path can match");
                assert!(text.is_empty() || second.is_valid() == matches_nothing, "{failure}");
                assert!(!matches_nothing || covered.iter().all(|word| *word == 0), "{failure}");
            }
        }
    }
    assert!(refused > 20, "the generator makes bad patterns too: {refused}");
    cases
}

/// What is wrong with an answer; empty when it agrees with the enumeration.
fn objection(a: &Case, b: &Case, paths: &[String], answer: &Decision) -> Option<String> {
    let first = a.covered.iter().zip(&b.covered).map(|(x, y)| x & y).enumerate().find(|(_, word)| *word != 0);
    let shortest = first.map(|(at, word)| &paths[at * 64 + word.trailing_zeros() as usize]);
    let problem = match (answer, shortest) {
        (Decision::Undecided, _) => "undecided",
        (Decision::Disjoint, Some(_)) => "an overlap was missed",
        (Decision::Overlap { witness }, _) if !is_legal(witness) => "the witness is no path",
        (Decision::Overlap { witness }, _) if !a.second.covers(witness) || !b.second.covers(witness) => {
            "the witness is not covered by both"
        }
        (Decision::Overlap { witness }, Some(shortest)) if witness.chars().count() > shortest.len() => "there is a shorter witness",
        // A shorter one than the enumeration's may hold other characters; the second matcher has vouched for it above.
        (Decision::Overlap { witness }, shortest)
            if witness.chars().all(|c| ALPHABET.contains(&c)) && witness.len() < shortest.map_or(LENGTH_MAX + 1, String::len) =>
        {
            "the enumeration has no such path"
        }
        _ => return None,
    };
    Some(format!("{} {}: {problem}: {answer:?}, {shortest:?}", a.text, b.text))
}

fn objections(cases: &[Case], paths: &[String], decide: impl Fn(&Pattern, &Pattern) -> Decision) -> (usize, Vec<String>) {
    let (mut pairs, mut found) = (0, Vec::new());
    for a in cases {
        for b in cases {
            pairs += 1;
            found.extend(objection(a, b, paths, &decide(&a.pattern, &b.pattern)));
        }
    }
    (pairs, found)
}

#[test]
fn every_pair_agrees_with_the_enumeration_both_ways_and_broken_deciders_do_not() {
    let paths = paths();
    let cases = cases(&paths);
    let (pairs, found) = objections(&cases, &paths, overlap);
    assert!(pairs >= 20_000 && found.is_empty(), "{} of {pairs}: {:#?}", found.len(), &found[..found.len().min(10)]);
    let mut overlaps = 0;
    for a in &cases {
        for b in &cases {
            let (one, other) = (overlap(&a.pattern, &b.pattern), overlap(&b.pattern, &a.pattern));
            match (&one, &other) {
                (Decision::Overlap { witness }, Decision::Overlap { witness: back }) => {
                    overlaps += 1;
                    assert_eq!(witness.chars().count(), back.chars().count(), "{} {}", a.text, b.text);
                }
                _ => assert_eq!(one, other, "{} {}", a.text, b.text),
            }
        }
    }
    assert!(overlaps > pairs / 20 && overlaps < pairs * 19 / 20, "both answers are common: {overlaps} of {pairs}");
    let by_prefix = |a: &Pattern, b: &Pattern| {
        let (a, b) = (a.prefix(), b.prefix());
        if a.starts_with(b) || b.starts_with(a) { Decision::Overlap { witness: format!("{a}/a") } } else { Decision::Disjoint }
    };
    assert!(!objections(&cases, &paths, by_prefix).1.is_empty());
    let by_text = |a: &Pattern, b: &Pattern| match (a.covers(b.text()), b.covers(a.text())) {
        (true, _) => Decision::Overlap { witness: b.text().to_string() },
        (_, true) => Decision::Overlap { witness: a.text().to_string() },
        _ => Decision::Disjoint,
    };
    let missed = objections(&cases, &paths, by_text).1;
    assert!(missed.iter().any(|objection| objection.contains("was missed")), "{}", missed.len());
}

#[test]
fn covers_agrees_with_the_second_matcher_and_with_globset() {
    let paths = paths();
    let mut by_globset = 0;
    for case in cases(&paths) {
        let globset = globset(&case.text);
        by_globset += usize::from(globset.is_some());
        for (at, path) in paths.iter().enumerate() {
            let expected = case.covered[at / 64] >> (at % 64) & 1 == 1;
            assert_eq!(case.pattern.covers(path), expected, "{} {path}", case.text);
            if let Some(globset) = &globset {
                let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
                let is_covered = ends.into_iter().any(|end| globset.is_match(&path[..end]));
                assert_eq!(is_covered, expected, "{} {path}: globset", case.text);
            }
        }
    }
    assert!(by_globset > 60, "{by_globset}");
}

fn glob(text: &str) -> Pattern {
    Pattern::glob(text).unwrap()
}

#[test]
fn the_ways_to_split_work_are_told_apart_and_what_meets_is_found() {
    for (a, b) in [("src/[a-m]*.rs", "src/[n-z]*.rs"), ("src/auth", "src/authz"), ("[a-y]/\u{e9}", "*/e"), ("src/{a,b}/**", "src/{c,d}/**")]
    {
        assert_eq!(overlap(&glob(a), &glob(b)), Decision::Disjoint, "{a} {b}");
    }
    for (a, b, witness) in [
        ("src/auth", "**/*.rs", "src/auth/.rs"),
        ("src/b*", "src/*x", "src/bx"),
        ("lib", "lib/x.py", "lib/x.py"),
        (".", "src/*.rs", "src/.rs"),
        ("[\u{e0}-\u{ff}]", "?", "\u{e0}"),
        ("*", "?", "a"),
        (".*", "*", ".a"),
        // Reached by a longer text before a shorter one got there without reading.
        ("{?b[!a],b}*", "*a[!.-]-[+-0]", "ab-0"),
    ] {
        assert_eq!(overlap(&glob(a), &glob(b)), Decision::Overlap { witness: witness.to_string() }, "{a} {b}");
    }
}

/// The slowest pairs of their size that we know; a debug build gets twenty times the bound.
#[test]
fn pathological_pairs_end_in_bounded_time() {
    let braces = "{a,b}".repeat(20);
    let stars = |c: &str| format!("*{c}").repeat(510);
    let empties = format!("{}x", "{a,}".repeat(200));
    let deep = format!("{}a{}", "{b,".repeat(250), "}".repeat(250));
    let many = format!("{{{}}}x", ",".repeat(1000));
    let slow = [
        (braces.clone(), format!("{}c", "?".repeat(19))),
        (braces.clone(), format!("*{braces}b")),
        (stars("a"), stars("b")),
        (stars("a"), format!("{}c", stars("b"))),
        (format!("*{}", "a?".repeat(300)), format!("{}b", "*?".repeat(300))),
        (empties.clone(), format!("{}y", "{a,}".repeat(200))),
        (empties, stars("a")),
        (deep.clone(), format!("{deep}c")),
        (many.clone(), many),
        ("**/a/".repeat(200) + "b", "**/b/".repeat(200) + "a"),
        (
            format!("*{}", format!("[{}]*", (0x300..0x320).step_by(2).filter_map(char::from_u32).collect::<String>()).repeat(25)),
            format!("*{}b", format!("[!{}]*", (0x301..0x320).step_by(2).filter_map(char::from_u32).collect::<String>()).repeat(25)),
        ),
        ("{*,a}".to_string() + &"[!b][!c]*".repeat(100), "[!a]*[!c]".repeat(100) + "b"),
    ];
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 5 });
    for (a, b) in slow {
        let (a, b) = (glob(&a), glob(&b));
        let best = (0..5).map(|_| {
            let start = Instant::now();
            (overlap(&a, &b), start.elapsed())
        });
        let (answer, took) = best.min_by_key(|(_, took)| *took).unwrap();
        let word = match answer {
            Decision::Disjoint => "disjoint",
            Decision::Overlap { .. } => "overlap",
            Decision::Undecided => "undecided",
        };
        println!("{took:?} {word} {:.30} {:.30}", a.text(), b.text());
        assert!(took < bound, "{} {}: {took:?}", a.text(), b.text());
    }
}

/// Printed by `--nocapture`; only an outlandish figure fails.
#[test]
fn ordinary_pairs_take_microseconds() {
    let texts = [
        "src/auth/**",
        "src/*.rs",
        "**/*.rs",
        "src/[a-m]*.rs",
        "src/{a,b}/**/*.ts",
        "docs/**/*.md",
        "Cargo.toml",
        "src",
        "**/test_*.py",
        "src/a?c/*",
    ];
    let patterns: Vec<Pattern> = texts.iter().map(|text| glob(text)).collect();
    let mut spans = Vec::new();
    for a in &patterns {
        for b in &patterns {
            let start = Instant::now();
            for _ in 0..100 {
                std::hint::black_box(overlap(a, b));
            }
            spans.push((start.elapsed() / 100, a.text(), b.text()));
        }
    }
    spans.sort_unstable();
    let start = Instant::now();
    for text in texts {
        std::hint::black_box(glob(text));
    }
    println!("pair: median {:?}, p90 {:?}, most {:?}; to parse {:?}", spans[50].0, spans[90].0, spans[99], start.elapsed() / 10);
    assert!(spans[50].0 < Duration::from_micros(if cfg!(debug_assertions) { 200 } else { 10 }), "{:?}", spans[50].0);
}
