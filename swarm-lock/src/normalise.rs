//! From what was typed to text relative to the root: `./`, `//`, `..`, absolute paths and a slash at the end are gone.
//!
//! Names only, no file is asked: a symbolic link in the tree is a name like any other. In a glob, only what stands outside of braces
//! and classes is a component here.

use swarm_common::exit::Failure;

use crate::pattern::{ROOT, check_size, class_len, escape, wrong};

/// How an argument is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// `*`, `?`, `[`, `{` and `\` are special.
    Glob,
    /// Every character is itself.
    Literal,
}

/// The argument relative to the root, as [`crate::pattern::Pattern`] wants it; `.` for the root itself.
///
/// `root` is the root's absolute path, `cwd` the current directory relative to it (empty at the root itself).
///
/// # Errors
/// Status 2: it is empty, holds a NUL, or leaves the root.
pub fn normalise(root: &str, cwd: &str, argument: &str, reading: Reading) -> Result<String, Failure> {
    if argument.is_empty() || argument.contains('\0') {
        check_size(argument)?;
    }
    let outside = || wrong(argument, "leads out of the root").hint(format!("the root is {root}"));
    let own = |name: &str| if reading == Reading::Glob { escape(name) } else { name.to_string() };
    let parts = components(argument, reading);
    // An absolute path starts at /; it must come through the root.
    let (above, here) = if argument.starts_with('/') { ("", "") } else { (root, cwd) };
    let mut path: Vec<String> = names(above).chain(names(here)).map(own).collect();
    for part in parts {
        match plain(part, reading).as_deref() {
            Some("" | ".") => {}
            Some("..") => {
                // What `..` leaves must be one directory, or it is unclear where it leads.
                let left = path.pop();
                if left.is_some_and(|left| plain(&left, reading).is_none()) {
                    return Err(wrong(argument, ".. after a component with special characters").hint("write the pattern without .."));
                }
            }
            _ => path.push(part.to_string()),
        }
    }
    let mut path = path.into_iter();
    for name in names(root) {
        let part = path.next().ok_or_else(outside)?;
        if plain(&part, reading).as_deref() != Some(name) {
            return Err(outside());
        }
    }
    let rest: Vec<String> = path.collect();
    let text = if rest.is_empty() { ROOT.to_string() } else { rest.join("/") };
    check_size(&text)?;
    Ok(text)
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".")
}

/// The component as a name, without escapes; none where it has special characters.
fn plain(part: &str, reading: Reading) -> Option<String> {
    if reading == Reading::Literal {
        return Some(part.to_string());
    }
    let mut name = String::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' | '{' | '}' => return None,
            '\\' => name.push(chars.next()?),
            c => name.push(c),
        }
    }
    Some(name)
}

/// Split at each `/` that stands in neither braces nor a class.
fn components(text: &str, reading: Reading) -> Vec<&str> {
    if reading == Reading::Literal {
        return text.split('/').collect();
    }
    let (mut parts, mut from, mut at, mut depth) = (Vec::new(), 0, 0, 0_usize);
    while let Some(c) = text[at..].chars().next() {
        let mut len = c.len_utf8();
        match c {
            // An escaped slash is a slash.
            '\\' if depth == 0 && text[at + 1..].starts_with('/') => {
                parts.push(&text[from..at]);
                len = 2;
                from = at + len;
            }
            '\\' => len += text[at + 1..].chars().next().map_or(0, char::len_utf8),
            '[' => len = class_len(&text[at..]).unwrap_or(text.len() - at),
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + len;
            }
            _ => {}
        }
        at += len;
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(cwd: &str, argument: &str) -> Option<String> {
        normalise("/home/me/tree", cwd, argument, Reading::Glob).ok()
    }

    #[test]
    fn spellings_of_one_path_are_one_text() {
        for argument in [
            "src/a.rs",
            "./src/a.rs",
            "src//a.rs",
            "src/./a.rs",
            "lib/../src/a.rs",
            "/home/me/tree/src/a.rs",
            "../tree/src/a.rs",
            "src/a.rs/",
        ] {
            assert_eq!(glob("", argument).as_deref(), Some("src/a.rs"), "{argument}");
        }
        for argument in [".", "./", "/home/me/tree", "/home/me/tree/", "src/..", "/home//me/./tree"] {
            assert_eq!(glob("", argument).as_deref(), Some("."), "{argument}");
        }
        assert_eq!(glob("src/auth", "*.rs").as_deref(), Some("src/auth/*.rs"));
        assert_eq!(glob("src/auth", "../*.rs").as_deref(), Some("src/*.rs"));
        assert_eq!(glob("src/auth", "../..").as_deref(), Some("."));
    }

    #[test]
    fn what_leaves_the_root_is_refused() {
        for argument in ["..", "../x", "/etc/passwd", "/home/me/tree2", "/home/me", "/", "src/../../x", "/home/*/tree/x", "**/../x", ""] {
            assert_eq!(glob("", argument), None, "{argument}");
        }
    }

    #[test]
    fn braces_classes_and_escapes_are_no_place_to_split() {
        for argument in ["{a,./b}//c", "[a/b]//c", "a\\{//c", "{a,[}]}//c", "[]/]//c", "{a,{b/../c,d}}//c"] {
            assert_eq!(glob("", argument), Some(argument.replace("//", "/")), "{argument}");
        }
        assert_eq!(glob("", "a\\/b").as_deref(), Some("a/b"));
        assert_eq!(glob("", "{a,b}/../c"), None);
    }

    #[test]
    fn the_current_directory_is_a_name_and_no_pattern() {
        assert_eq!(glob("app/[id]", "*.tsx").as_deref(), Some("app/\\[id\\]/*.tsx"));
        assert_eq!(normalise("/r", "app/[id]", "*.tsx", Reading::Literal).ok().as_deref(), Some("app/[id]/*.tsx"));
        assert_eq!(normalise("/r[1]", "", "/r\\[1]/x", Reading::Glob).ok().as_deref(), Some("x"));
        assert_eq!(normalise("/r[1]", "", "x", Reading::Glob).ok().as_deref(), Some("x"));
        assert_eq!(normalise("/", "", "/x", Reading::Literal).ok().as_deref(), Some("x"));
    }
}
