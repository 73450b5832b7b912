//! What a pattern of Python's `fnmatch` is as one of ours. Pure.
//!
//! There a `*`, a `?` and a class match `/` as well, `**` is no more than `*`, and braces and `\` are themselves. A class is what Python's own
//! translation makes of it, down to its ranges that run backwards.

/// The glob that matches the same paths, which have no empty component, no `.` and no `..`; none where no path is matched.
pub fn glob(pattern: &str) -> Option<String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut glob = String::with_capacity(2 * pattern.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '*' => {
                // Two in a row would be our `**`.
                while chars.get(at) == Some(&'*') {
                    at += 1;
                }
                glob.push_str("{*,*/**/*}");
            }
            '?' => glob.push_str("{?,/}"),
            '[' => match class_end(&chars, at) {
                Some(end) => {
                    push_class(&chars[at..end], &mut glob)?;
                    at = end + 1;
                }
                None => push_literal('[', &mut glob),
            },
            c => push_literal(c, &mut glob),
        }
    }
    Some(glob)
}

/// True for a text that may match something else than itself.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Where the `]` stands that ends the class; none where it is a `[` like any other character.
fn class_end(chars: &[char], from: usize) -> Option<usize> {
    let negated = usize::from(chars.get(from) == Some(&'!'));
    let first = from + negated;
    // A `]` that comes first is one of the class.
    let skipped = usize::from(chars.get(first) == Some(&']'));
    (first + skipped..chars.len()).find(|&at| chars[at] == ']')
}

/// The class with these characters between its brackets; none where nothing is in it.
fn push_class(inner: &[char], glob: &mut String) -> Option<()> {
    let parts = parts(inner);
    let is_negated = parts[0].first() == Some(&'!');
    let mut ranges: Vec<(char, char)> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let part = if n == 0 && is_negated { &part[1..] } else { part };
        // What stands at the seam of two parts is the two ends of a range.
        let is_last = n + 1 == parts.len();
        let singles = &part[usize::from(n > 0).min(part.len())..];
        let singles = if is_last { singles } else { &singles[..singles.len().saturating_sub(1)] };
        ranges.extend(singles.iter().map(|&c| (c, c)));
        if let (Some(&low), Some(&high)) = (part.last(), parts.get(n + 1).and_then(|next| next.first())) {
            ranges.push((low, high));
        }
    }
    let has_slash = ranges.iter().any(|&(low, high)| (low..=high).contains(&'/')) != is_negated;
    // A slash alone means nothing in a class of ours, for none has it.
    ranges.retain(|&range| range != ('/', '/'));
    match (ranges.is_empty(), is_negated, has_slash) {
        (true, true, true) => glob.push_str("{?,/}"),
        (true, true, false) => glob.push('?'),
        (true, false, true) => glob.push('/'),
        (true, false, false) => return None,
        (false, _, true) => {
            glob.push('{');
            push_ranges(&ranges, is_negated, glob);
            glob.push_str(",/}");
        }
        (false, _, false) => push_ranges(&ranges, is_negated, glob),
    }
    Some(())
}

/// The class split at each `-` that makes a range, with ranges that run backwards taken out as Python does: at least one part.
fn parts(inner: &[char]) -> Vec<Vec<char>> {
    let is_negated = inner.first() == Some(&'!');
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 1 + usize::from(is_negated));
    while let Some(dash) = (at..inner.len()).find(|&at| inner[at] == '-') {
        parts.push(inner[from..dash].to_vec());
        from = dash + 1;
        // The end of one range is not the beginning of the next.
        at = dash + 3;
    }
    match parts.last_mut() {
        // A `-` at the end is itself.
        Some(last) if from == inner.len() => last.push('-'),
        _ => parts.push(inner[from..].to_vec()),
    }
    for n in (1..parts.len()).rev() {
        if parts[n - 1].last() > parts[n].first() {
            let next = parts.remove(n);
            parts[n - 1].pop();
            parts[n - 1].extend(next.into_iter().skip(1));
        }
    }
    parts
}

fn push_ranges(ranges: &[(char, char)], is_negated: bool, glob: &mut String) {
    glob.push_str(if is_negated { "[!" } else { "[" });
    for &(low, high) in ranges {
        push_of_class(low, glob);
        if low != high {
            glob.push('-');
            push_of_class(high, glob);
        }
    }
    glob.push(']');
}

fn push_of_class(c: char, glob: &mut String) {
    if matches!(c, '[' | ']' | '\\' | '-' | '!' | '^') {
        glob.push('\\');
    }
    glob.push(c);
}

fn push_literal(c: char, glob: &mut String) {
    if matches!(c, '[' | ']' | '{' | '}' | ',' | '\\') {
        glob.push('\\');
    }
    glob.push(c);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::pattern::{self, Pattern};

    #[test]
    fn patterns_in_use_become_globs_that_people_can_read() {
        for (pattern, expected) in [
            ("tests/*.py", "tests/{*,*/**/*}.py"),
            ("web/**/*.tsx", "web/{*,*/**/*}/{*,*/**/*}.tsx"),
            ("src/[!a]*.rs", "src/{[!a],/}{*,*/**/*}.rs"),
            ("app/[id]/page.tsx", "app/[id]/page.tsx"),
            ("v?.[0-9]", "v{?,/}.[0-9]"),
            ("src/{a,b}/*", "src/\\{a\\,b\\}/{*,*/**/*}"),
            ("a[", "a\\["),
            ("a[+-9]", "a{[+-9],/}"),
            ("a[]-]", "a[\\]\\-]"),
            ("a[!z-a]", "a{?,/}"),
            ("a[!/]", "a?"),
            ("a[/]b", "a/b"),
        ] {
            assert_eq!(glob(pattern).as_deref(), Some(expected), "{pattern}");
        }
        assert_eq!(glob("a[z-a]"), None);
    }

    /// fnmatch by what the documentation says and no translation: all ends of the text that a pattern may begin with.
    fn matches(pattern: &[char], text: &[char]) -> bool {
        let Some((&c, rest)) = pattern.split_first() else { return text.is_empty() };
        let one = |is_it: bool| is_it && matches(rest, &text[1..]);
        match c {
            '*' => (0..=text.len()).any(|from| matches(rest, &text[from..])),
            '?' => one(!text.is_empty()),
            '[' => {
                let is_negated = rest.first() == Some(&'!');
                let inner = &rest[usize::from(is_negated)..];
                let Some(len) = (1..inner.len()).find(|&at| inner[at] == ']') else { return one(text.first() == Some(&'[')) };
                let Some((&c, tail)) = text.split_first() else { return false };
                let (mut is_in, mut set) = (false, &inner[..len]);
                while let Some((&low, after)) = set.split_first() {
                    if let ['-', high, ..] = after {
                        is_in |= low <= c && c <= *high;
                        set = &after[2..];
                    } else {
                        is_in |= low == c;
                        set = after;
                    }
                }
                is_in != is_negated && matches(&inner[len + 1..], tail)
            }
            c => one(text.first() == Some(&c)),
        }
    }

    /// A path is covered when it is matched, or one above it is.
    fn is_covered(pattern: &str, path: &str, matches: impl Fn(&str, &str) -> bool) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| matches(pattern, &path[..end]))
    }

    fn covers(pattern: &str, path: &str) -> bool {
        glob(pattern).is_some_and(|glob| Pattern::glob(&glob).is_ok_and(|pattern| pattern.covers(path)))
    }

    /// Sorted, so that a range within the class runs forwards more often than not.
    const PATTERN: &str = "([ab/.*?]|\\*\\*|\\[!?[a-c/.!^,{}\\\\+-]{1,4}\\]|[\\[\\]{},!^\\\\-]){1,7}";
    const PATH: &str = "[a-c.+,{}!^\\[\\]\\\\-]{1,3}(/[a-c.]{1,2}){0,3}";

    /// In a range that runs backwards Python and its documentation part: it takes out the ends, and a `!` behind them negates.
    fn has_backward_range(pattern: &str) -> bool {
        pattern.as_bytes().windows(3).any(|w| w[1] == b'-' && w[0] > w[2])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

        #[test]
        fn a_glob_covers_exactly_what_fnmatch_did(pattern in PATTERN, path in PATH) {
            prop_assume!(pattern::is_legal(&path) && pattern != pattern::ROOT && !has_backward_range(&pattern));
            let oracle = |pattern: &str, text: &str| {
                let chars = |text: &str| text.chars().collect::<Vec<_>>();
                matches(&chars(pattern), &chars(text))
            };
            prop_assert_eq!(covers(&pattern, &path), is_covered(&pattern, &path, oracle), "{:?}", glob(&pattern));
        }
    }

    /// The same against Python's own, where there is one, and with what only Python itself knows.
    #[test]
    fn python_agrees_where_it_is_installed() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;

        let script = "import sys, fnmatch, warnings\n\
                      warnings.simplefilter('ignore')\n\
                      for line in sys.stdin.buffer.read().decode().splitlines():\n\
                      \x20   pattern, path = line.split(' ')\n\
                      \x20   print(int(fnmatch.fnmatchcase(path, pattern)))\n";
        let python = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut python) = python else {
            eprintln!("no python3 here: not compared");
            return;
        };
        let mut runner = TestRunner::deterministic();
        let mut pairs: Vec<(String, String)> = Vec::new();
        while pairs.len() < 20_000 {
            let (pattern, path) = (PATTERN, PATH).new_tree(&mut runner).unwrap().current();
            if pattern::is_legal(&path) && pattern != pattern::ROOT {
                pairs.push((pattern, path));
            }
        }
        let mut asked = String::new();
        for (pattern, path) in &pairs {
            for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
                asked += &format!("{pattern} {}\n", &path[..end]);
            }
        }
        let mut stdin = python.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
        let output = python.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let mut answers = output.stdout.split(|&byte| byte == b'\n').map(|answer| answer == b"1");
        let (mut covered, mut backward) = (0, 0);
        for (pattern, path) in &pairs {
            let ends = path.matches('/').count() + 1;
            let theirs = answers.by_ref().take(ends).fold(false, |any, answer| any | answer);
            assert_eq!(covers(pattern, path), theirs, "{pattern} {path} {:?}", glob(pattern));
            covered += usize::from(theirs);
            backward += usize::from(has_backward_range(pattern));
        }
        assert!(covered > 500 && backward > 500, "{covered} covered, {backward} with a range that runs backwards: too few to tell");
    }
}
