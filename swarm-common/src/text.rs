//! Which characters may not reach a terminal or a pane, and how they are taken out or written harmlessly.
//!
//! serde_json leaves DEL, the C1 controls (U+009B starts an escape sequence) and bidi characters as they are
//! (measured), so whoever prints a record to a terminal has to look here first.

use std::borrow::Cow;

/// True for what a terminal may obey or a reader cannot see: C0 and C1 controls, DEL, line and paragraph separators,
/// bidi controls, zero-width characters and the BOM.
pub fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
        | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// For people's words on stderr: every unsafe character becomes its visible escape (`\u{1b}`), so that hostile text
/// can neither act nor hide.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Bytes that may not be UTF-8, shown to people: cleaned, and cut to `max` characters with `...`.
pub fn excerpt(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out: String = clean(text.trim_end()).chars().take(max).collect();
    if text.trim_end().chars().count() > max {
        out.push_str("...");
    }
    out
}

/// A whole line of JSON for a terminal: unsafe characters become JSON escapes, so the value stays the same and `jq`
/// would read it alike; what is not UTF-8 becomes U+FFFD. `\n`, and white space that JSON allows, stay.
pub fn clean_json(line: &[u8], out: &mut Vec<u8>) {
    for c in String::from_utf8_lossy(line).chars() {
        if is_unsafe(c) && !matches!(c, '\n' | '\t') {
            if c != '\r' {
                escape_json(c, out);
            }
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// `\uXXXX`, as a surrogate pair beyond the BMP.
pub fn escape_json(c: char, out: &mut Vec<u8>) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_becomes_visible_and_plain_text_is_not_copied() {
        assert_eq!(clean("a\u{1b}[31mb\u{9b}2J"), "a\\u{1b}[31mb\\u{9b}2J");
        assert!(matches!(clean("plain ünï"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_for_a_terminal_keeps_its_json_value() {
        let line = "{\"content\":\"del \u{7f} csi \u{9b}31m bidi \u{202e} tag \u{e0041} \"}\n";
        let mut out = Vec::new();
        clean_json(line.as_bytes(), &mut out);
        let shown = String::from_utf8(out).unwrap_or_default();
        assert!(!shown.trim_end().chars().any(is_unsafe), "{shown:?}");
        let before: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let after: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
        assert_eq!(before, after);
    }
}
