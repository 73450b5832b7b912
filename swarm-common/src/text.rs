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

/// For a pane, where an agent and a terminal read it: no escape sequence is left, nor anything else that a terminal may obey or a reader cannot
/// see. A sequence goes as a whole, and with a string (OSC, DCS) what it says; one that does not end goes to the end of its line. CR and CRLF
/// become a newline, a tab becomes a space.
pub fn for_pane(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' => out.push('\n'),
            '\r' => {
                if !rest.as_str().starts_with('\n') {
                    out.push('\n');
                }
            }
            '\t' => out.push(' '),
            '\u{1b}' | '\u{80}'..='\u{9f}' => rest = behind_sequence(c, rest.as_str()).chars(),
            c if is_unsafe(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// What follows an escape sequence (ECMA-48) that begins with `first`: ESC, or a control of C1, which is short for ESC and a letter.
fn behind_sequence(first: char, rest: &str) -> &str {
    let (introducer, rest) = match first {
        '\u{1b}' => {
            // Between ESC and the letter: which character set it is that is chosen, and the like.
            let rest = rest.trim_start_matches(|c| matches!(c, ' '..='/'));
            match rest.chars().next() {
                Some(c @ '0'..='~') => (c, &rest[1..]),
                // Broken off: what stands there is no part of it.
                _ => return rest,
            }
        }
        // U+009B is ESC [, and so on.
        c1 => (char::from_u32(c1 as u32 - 0x40).unwrap_or('@'), rest),
    };
    match introducer {
        '[' => {
            let rest = rest.trim_start_matches(|c| matches!(c, ' '..='?'));
            rest.strip_prefix(|c| matches!(c, '@'..='~')).unwrap_or(rest)
        }
        // Strings: DCS, SOS, OSC, PM, APC. They end with ST, or with BEL, or are cut off by the next sequence.
        'P' | 'X' | ']' | '^' | '_' => {
            let end = rest.find(['\u{1b}', '\u{9c}', '\u{7}', '\n', '\r']).unwrap_or(rest.len());
            let (_, end) = rest.split_at(end);
            end.strip_prefix("\u{1b}\\").or_else(|| end.strip_prefix(['\u{9c}', '\u{7}'])).unwrap_or(end)
        }
        _ => rest,
    }
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

    #[test]
    fn an_escape_sequence_does_not_reach_a_pane_and_nothing_of_it_stays() {
        for (text, shown) in [
            ("plain \u{fc}n\u{ef}\n\u{6f22}\u{5b57} \u{1f980}", "plain \u{fc}n\u{ef}\n\u{6f22}\u{5b57} \u{1f980}"),
            ("a\u{1b}[31mb\u{1b}[0m\u{9b}2Jc", "abc"),
            ("paste\u{1b}[201~\rrm -rf x", "paste\nrm -rf x"),
            ("\u{9b}201~x", "x"),
            ("\u{1b}]0;title\u{7}a\u{1b}]52;c;eA==\u{1b}\\b\u{9d}x\u{9c}c", "abc"),
            ("\u{1b}Pq#0\u{1b}\\a\u{1b}_G\u{1b}\\b\u{1b}^x\u{9c}c\u{1b}Xs\u{1b}\\d", "abcd"),
            ("\u{1b}(Ba\u{1b}#8b\u{1b}7c\u{1b}=d\u{1b}", "abcd"),
            ("one\u{1b}]0;never ends\ntwo\u{1b}[12;\nthree", "one\ntwo\nthree"),
            ("\u{1b}]0;x\u{1b}[31ma", "a"),
            ("\u{1b}\u{1b}[31ma\u{1b}[\u{1b}[1mb", "ab"),
            ("\u{1b}[\u{6f22}", "\u{6f22}"),
            ("\u{1b}\u{6f22}", "\u{6f22}"),
            ("a\tb\r\nc\rd\n", "a b\nc\nd\n"),
            ("n\0u\u{8}l\u{7f}\u{90}", "nul"),
            ("\u{202e}bidi\u{2066} zero\u{200b}width\u{feff}\u{2028}tag\u{e0041}", "bidi zerowidthtag"),
            ("[31m ]0; 200~ \\", "[31m ]0; 200~ \\"),
        ] {
            assert_eq!(for_pane(text), shown, "{text:?}");
        }
        assert!(matches!(for_pane("plain \u{fc}n\u{ef}\ntext"), Cow::Borrowed(_)));
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_reaches_a_pane(text in "([\\x00-\\xa0\u{200b}\u{202e}\u{6f22}]|\u{1b}[\\[\\]P^_X(]|[0-9;m~a-z\n\r]){0,40}") {
            let shown = for_pane(&text);
            proptest::prop_assert!(!shown.chars().any(|c| is_unsafe(c) && c != '\n'), "{shown:?}");
            proptest::prop_assert_eq!(&for_pane(&shown), &shown, "once is enough");
            // What is left is what was there, in its order.
            let mut kept = text.chars().map(|c| if c == '\r' { '\n' } else if c == '\t' { ' ' } else { c });
            proptest::prop_assert!(shown.chars().all(|c| kept.any(|other| other == c)));
        }

        #[test]
        fn harmless_text_reaches_a_pane_as_it_is(text in "[ -~\n\u{a1}-\u{ac}\u{ae}-\u{2ff}\u{4e00}-\u{9fff}\u{1f300}-\u{1f9ff}]{0,60}") {
            proptest::prop_assert_eq!(&for_pane(&text), &text);
        }
    }
}
