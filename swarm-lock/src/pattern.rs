//! A path or a glob that a lease is about: its grammar (DESIGN 4), and which paths it covers.

use std::sync::Arc;

use swarm_common::exit::Failure;

use crate::nfa::{Graph, Legal, Nfa, Set, Step, Token};
use crate::overlap::{self, Decision};

/// The longest pattern or path, in bytes.
pub const BYTES_MAX: usize = 1_024;
/// The text that means everything: the root itself.
pub const ROOT: &str = ".";

/// What a lease is about, relative to the root.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// Every covered path begins with this.
    head: String,
    /// The length of the directory in `head`.
    prefix: usize,
    /// None for a path.
    nfa: Option<Arc<Nfa>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.is_literal() == other.is_literal()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// A glob; without any special character it is a path. `.` is everything.
    ///
    /// # Errors
    /// Status 2: it is no pattern, or one that no path can match.
    pub fn glob(text: &str) -> Result<Self, Failure> {
        check_size(text)?;
        if text == ROOT {
            return Ok(Self::everything());
        }
        let Parsed { graph, head, has_glob } = parse(text)?;
        if !has_glob {
            return Self::literal(&head);
        }
        let nfa = Nfa::new(&graph).map_err(|_| {
            wrong(text, "** stands beside something else in its component")
                .hint("write ** between slashes (a/**/b), or * for a part of a name")
        })?;
        if overlap::search(&nfa, &Nfa::everything()) == Decision::Disjoint {
            let hint = "a path has no empty component, no . and no ..; [..] never matches /";
            return Err(wrong(text, "no path can match it").hint(hint));
        }
        let prefix = head.rfind('/').unwrap_or(0);
        Ok(Self { text: text.to_string(), head, prefix, nfa: Some(Arc::new(nfa)) })
    }

    /// A path in which every character is itself; `.` is everything.
    ///
    /// # Errors
    /// Status 2: it is no path below the root.
    pub fn literal(path: &str) -> Result<Self, Failure> {
        check_size(path)?;
        if path == ROOT {
            return Ok(Self::everything());
        }
        if !is_legal(path) {
            return Err(wrong(path, "no path can match it").hint("a path has no empty component, no . and no .."));
        }
        Ok(Self { text: path.to_string(), head: path.to_string(), prefix: path.rfind('/').unwrap_or(0), nfa: None })
    }

    fn everything() -> Self {
        Self { text: ROOT.to_string(), head: String::new(), prefix: 0, nfa: Some(Arc::new(Nfa::everything())) }
    }

    /// As stored and shown; of a path, without any escapes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// It is one path (and what is below it). The root is not: it behaves as `**` does.
    pub fn is_literal(&self) -> bool {
        self.nfa.is_none()
    }

    /// The leading whole components without special characters, unescaped: `src/auth` of `src/auth/*.rs`; of a path, its directory.
    pub fn prefix(&self) -> &str {
        &self.head[..self.prefix]
    }

    /// It matches the path or a directory above it.
    pub fn covers(&self, path: &str) -> bool {
        match &self.nfa {
            None => path.strip_prefix(self.text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && is_legal(path),
            Some(nfa) => path.starts_with(&self.head) && nfa.accepts(path),
        }
    }

    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    pub(crate) fn nfa(&self) -> Option<&Nfa> {
        self.nfa.as_deref()
    }
}

/// A relative path without empty components, `.`, `..` and NUL.
pub fn is_legal(path: &str) -> bool {
    path.chars().try_fold(Legal::Start, Legal::after) == Some(Legal::Name)
}

/// The glob that means this very text.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[]{},\\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

pub(crate) fn wrong(text: &str, why: &str) -> Failure {
    Failure::wrong(format!("{text:?}: {why}"))
}

pub(crate) fn check_size(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Err(Failure::wrong("an empty path").hint("the root itself is ."));
    }
    if text.len() > BYTES_MAX {
        let start: String = text.chars().take(40).collect();
        return Err(Failure::wrong(format!("{start:?}...: {} bytes, the limit is {BYTES_MAX}", text.len())));
    }
    if text.contains('\0') {
        return Err(wrong(text, "a NUL is in no path"));
    }
    Ok(())
}

/// A glob's text, taken apart.
struct Parsed {
    graph: Graph,
    /// What stands before the first special character, unescaped; all of it where there is none.
    head: String,
    has_glob: bool,
}

/// A brace that is open: where it began, and where its alternatives ended.
struct Brace {
    from: usize,
    ends: Vec<usize>,
}

fn parse(text: &str) -> Result<Parsed, Failure> {
    let mut graph = Graph::default();
    let mut at = graph.node();
    let mut braces: Vec<Brace> = Vec::new();
    let (mut head, mut has_glob) = (String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let is_special = matches!(c, '*' | '?' | '[' | '{');
        has_glob |= is_special;
        let token = match c {
            '{' => {
                braces.push(Brace { from: at, ends: Vec::new() });
                at = fork(&mut graph, at);
                continue;
            }
            ',' if !braces.is_empty() => {
                if let Some(brace) = braces.last_mut() {
                    brace.ends.push(at);
                    at = fork(&mut graph, brace.from);
                }
                continue;
            }
            '}' => {
                let Some(brace) = braces.pop() else {
                    return Err(wrong(text, "a } without its {").hint("a } that is meant as such is written \\}"));
                };
                let join = graph.node();
                for end in brace.ends.into_iter().chain([at]) {
                    graph.link(end, None, join);
                }
                at = join;
                continue;
            }
            '*' => Token::Star,
            '?' => Token::Step(Step::Any),
            '[' => Token::Step(Step::Of(class(text, &mut chars)?)),
            '\\' => Token::Step(Step::Char(escaped(text, &mut chars)?)),
            c => Token::Step(Step::Char(c)),
        };
        if let (false, Token::Step(Step::Char(c))) = (has_glob, &token) {
            head.push(*c);
        }
        let next = graph.node();
        graph.link(at, Some(token), next);
        at = next;
    }
    if !braces.is_empty() {
        return Err(wrong(text, "a { without its }").hint("a { that is meant as such is written \\{, or give --literal"));
    }
    // The automaton ends at the last node.
    let end = graph.node();
    graph.link(at, None, end);
    Ok(Parsed { graph, head, has_glob })
}

fn fork(graph: &mut Graph, from: usize) -> usize {
    let start = graph.node();
    graph.link(from, None, start);
    start
}

fn escaped(text: &str, chars: &mut std::str::Chars<'_>) -> Result<char, Failure> {
    chars.next().ok_or_else(|| wrong(text, "a \\ at the end escapes nothing").hint("a \\ that is meant as such is written \\\\"))
}

/// The rest of a class after its `[`. A `]` that comes first, and a `-` at either end, are themselves, as everywhere.
fn class(text: &str, chars: &mut std::str::Chars<'_>) -> Result<Set, Failure> {
    let unclosed = || wrong(text, "a [ without its ]").hint("a [ that is meant as such is written \\[, or give --literal");
    let is_negated = chars.as_str().starts_with(['!', '^']);
    if is_negated {
        chars.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next().ok_or_else(unclosed)? {
            ']' if !ranges.is_empty() => return Ok(Set::class(ranges, is_negated)),
            '\\' => escaped(text, chars).map_err(|_| unclosed())?,
            '[' if chars.as_str().starts_with([':', '.', '=']) => return Err(named_class(text)),
            c => c,
        };
        let rest = chars.as_str();
        if !rest.starts_with('-') || rest.starts_with("-]") {
            ranges.push((low, low));
            continue;
        }
        chars.next();
        let high = match chars.next().ok_or_else(unclosed)? {
            '\\' => escaped(text, chars).map_err(|_| unclosed())?,
            '[' if chars.as_str().starts_with([':', '.', '=']) => return Err(named_class(text)),
            c => c,
        };
        if high < low {
            return Err(wrong(text, &format!("the range {low}-{high} runs backwards")));
        }
        ranges.push((low, high));
    }
}

/// In a shell it means a kind of character, of which there are none here.
fn named_class(text: &str) -> Failure {
    wrong(text, "[:alpha:] and the like have no meaning here")
        .hint("write ranges, as [A-Za-z0-9]; a [ that is meant as such is written \\[")
}

/// The length of the class at the start of `text`, its brackets with it; none where it is not closed.
pub(crate) fn class_len(text: &str) -> Option<usize> {
    let mut chars = text.strip_prefix('[')?.chars();
    // A range that runs backwards is told by the parser, where it is closed.
    class(text, &mut chars).ok()?;
    Some(text.len() - chars.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(BYTES_MAX + 1);
        let bad = [
            "",
            "a\0",
            long.as_str(),
            "a**b",
            "a**",
            "**b",
            "***",
            "{a,b*}*",
            "{*,a}*x",
            "[a",
            "[",
            "[]",
            "[!]",
            "{a",
            "{a,{b}",
            "a}",
            "a\\",
            "[b-a]",
            "[[:alpha:]]",
            "[!a[.x.]]",
            "[a[=e=]]",
            "[!-[:x:]]",
            "..",
            "a/..",
            "../a",
            "a//b",
            "/a",
            "a/",
            "./a",
            "[/]",
            "{,}",
            "{..,.}",
            "a/{../b,}",
            "*/{}",
            "a{/,//}",
        ];
        for text in bad {
            assert!(Pattern::glob(text).is_err(), "{text}");
        }
        for path in ["", "a\0", long.as_str(), "..", "a//b", "/a", "a/", "./a"] {
            assert!(Pattern::literal(path).is_err(), "{path}");
        }
        let deep = format!("{}a{}", "{".repeat(20), "}".repeat(20));
        for text in [
            "[]a]",
            "[!]]",
            "[a-]",
            "{**,a}/b",
            "{*,a}*",
            "**/**",
            "*",
            "{,a}",
            "a{/,}/b",
            "[[]a",
            "[[a:]",
            "[\\[:]",
            deep.as_str(),
            &long[1..],
            "]",
            "a,b",
        ] {
            assert!(Pattern::glob(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_matches_and_everything_below() {
        for (text, path, is_covered) in [
            ("src", "src/a.rs", true),
            ("src", "src2", false),
            ("src/**", "src", false),
            ("src/**", "src/a/b", true),
            ("**/a", "a", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "ab", false),
            ("*", ".x/y", true),
            ("?", "\u{e9}", true),
            ("??", "\u{e9}", false),
            ("[!a]", "\u{1f600}", true),
            ("a[!b]c", "a/c", false),
            ("a[+-0]c", "a/c", false),
            ("a[+-0]c", "a.c", true),
            ("a{,b}c", "ac", true),
            ("{a,b/c}/d", "b/c/d", true),
            ("{*,b}*", "x/y", true),
            ("**/*b", "a/xb/c", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("*", "..", false),
            ("*", "a//b", false),
            (".", "a/b", true),
            (".", "", false),
        ] {
            assert_eq!(Pattern::glob(text).unwrap().covers(path), is_covered, "{text} {path}");
        }
        assert!(Pattern::literal("app/[id]").unwrap().covers("app/[id]/page.tsx"));
        assert!(!Pattern::literal("app/[id]").unwrap().covers("app/i"));
    }

    #[test]
    fn the_prefix_is_the_directory_that_is_sure() {
        for (text, prefix) in [
            ("src/auth/*.rs", "src/auth"),
            ("**/x", ""),
            ("src/a{b,c}/d", "src"),
            ("a\\*/b?", "a*"),
            ("a/b/c", "a/b"),
            ("x", ""),
            (".", ""),
        ] {
            assert_eq!(Pattern::glob(text).unwrap().prefix(), prefix, "{text}");
        }
        let escaped = Pattern::glob("a\\[b").unwrap();
        assert_eq!((escaped.is_literal(), escaped.text()), (true, "a[b"));
        assert_eq!(Pattern::glob(&escape("a{b},[c]*\\?")).unwrap(), Pattern::literal("a{b},[c]*\\?").unwrap());
    }
}
