//! What a pane shows, and the signs that are looked for on it. Pure.

use swarm_common::config::Sign;

/// Lines, and where the cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen<'a> {
    /// From the top.
    pub lines: &'a [String],
    /// Its cursor.
    pub cursor: Cursor,
}

/// A cell, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The column.
    pub x: usize,
    /// The line.
    pub y: usize,
}

impl Cursor {
    /// Reads `X.Y`.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (x, y) = text.split_once('.')?;
        Some(Cursor { x: x.parse().ok()?, y: y.parse().ok()? })
    }
}

impl Screen<'_> {
    /// True when the cursor's line, up to the cursor, shows the sign.
    pub fn has_draft(&self, sign: &Sign) -> bool {
        sign.regex().is_some_and(|regex| regex.is_match(&self.before_cursor()))
    }

    /// True when it shows the sign anywhere.
    pub fn shows(&self, sign: &Sign) -> bool {
        sign.regex().is_some_and(|regex| regex.is_match(&self.lines.join("\n")))
    }

    /// The cursor's line, up to the cursor. What is blank at a line's end tmux leaves out.
    fn before_cursor(&self) -> String {
        let Cursor { x, y } = self.cursor;
        let mut before = String::new();
        let mut column = 0;
        for c in self.lines.get(y).map_or("", String::as_str).chars() {
            if column >= x {
                return before;
            }
            before.push(c);
            column += columns(c);
        }
        before.extend(std::iter::repeat_n(' ', x.saturating_sub(column).min(1000)));
        before
    }
}

/// How many cells a character takes, as terminals have it, roughly: an odd one costs a cell or two beside the cursor.
fn columns(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{20d0}'..='\u{20f0}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_common::config::Config;

    fn sign(pattern: &str) -> Sign {
        let config = Config::parse(format!("[delivery.default]\ndraft = '{pattern}'\n").as_bytes()).unwrap();
        config.delivery.of(None).draft.unwrap()
    }

    #[test]
    fn a_draft_is_what_stands_before_the_cursor() {
        let lines = ["working".to_string(), "> fix it".to_string(), "> ".trim().to_string(), "> \u{6f22}\u{5b57}x".to_string()];
        let has_draft = |x, y| Screen { lines: &lines, cursor: Cursor { x, y } }.has_draft(&sign("^> .*[^ ]"));
        assert!(has_draft(8, 1) && has_draft(3, 1) && !has_draft(2, 1), "a hint behind the cursor is no draft");
        assert!(!has_draft(2, 2) && !has_draft(2, 9) && !has_draft(7, 0));
        let screen = |x| Screen { lines: &lines, cursor: Cursor { x, y: 3 } }.before_cursor();
        assert_eq!((screen(4), screen(6), screen(7)), ("> \u{6f22}".into(), "> \u{6f22}\u{5b57}".into(), "> \u{6f22}\u{5b57}x".into()));
        assert_eq!(Screen { lines: &lines, cursor: Cursor { x: 4, y: 2 } }.before_cursor(), ">   ");
    }

    #[test]
    fn a_sign_is_seen_anywhere_on_the_screen() {
        let lines = ["* Thinking (esc to interrupt)".to_string(), "> ".to_string()];
        let screen = Screen { lines: &lines, cursor: Cursor::default() };
        assert!(screen.shows(&sign("esc to interrupt")) && screen.shows(&sign("(?m)^> $")) && !screen.shows(&sign("^> $")));
    }

    #[test]
    fn a_cursor_is_read() {
        assert_eq!(Cursor::parse("12.3"), Some(Cursor { x: 12, y: 3 }));
        assert_eq!((Cursor::parse(""), Cursor::parse("1.x")), (None, None));
    }
}
