//! What a tmux client in control mode prints: the answers to commands, in blocks, and notifications between them. Pure: bytes in, events out.
//!
//! ```text
//! %begin 1795572983 287 1
//! what the command printed
//! %end 1795572983 287 1
//! %session-changed $1 two
//! ```
//!
//! A block ends with `%end` or `%error` and the numbers that it began with; nothing else in it is looked at. What a pane shows may stand in
//! one, and may try to end it.

/// A line is no longer: none of what is asked for is answered at such length.
const LINE_BYTES_MAX: usize = 65_536;

/// Nor has an answer more lines: a screen.
const LINES_MAX: usize = 4096;

/// Something that tmux said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What a command printed, and how it ended.
    Answer {
        /// Its lines.
        lines: Vec<String>,
        /// It failed; the lines say why.
        is_error: bool,
        /// It came on the client's input. Else it is a command of a hook, or the one that the client was started with.
        is_ours: bool,
    },
    /// The client leaves.
    Exit,
}

/// Takes the output as it comes.
#[derive(Debug, Default)]
pub struct Parser {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// What of it was too long.
    is_cut: bool,
    block: Option<Open>,
}

/// A block that has not ended.
#[derive(Debug)]
struct Open {
    /// What follows `%begin`.
    numbers: String,
    lines: Vec<String>,
}

impl Parser {
    /// Takes the next bytes, and tells what they complete.
    pub fn take(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Said)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LINE_BYTES_MAX - self.line.len();
            self.is_cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                // It may be a part of what a pane shows, and is no end of anything.
                let is_cut = std::mem::take(&mut self.is_cut);
                if let Some(said) = self.line(line, is_cut) {
                    tell(said);
                }
            }
        }
    }

    fn line(&mut self, line: String, is_cut: bool) -> Option<Said> {
        let Some(open) = &mut self.block else {
            if let Some(numbers) = line.strip_prefix("%begin ") {
                self.block = Some(Open { numbers: numbers.to_string(), lines: Vec::new() });
                return None;
            }
            return (line == "%exit" || line.starts_with("%exit ")).then_some(Said::Exit);
        };
        let ends = |word: &str| !is_cut && line.strip_prefix(word) == Some(&open.numbers);
        let is_error = ends("%error ");
        if is_error || ends("%end ") {
            let Open { numbers, lines } = self.block.take()?;
            return Some(Said::Answer { lines, is_error, is_ours: numbers.ends_with(" 1") });
        }
        if open.lines.len() < LINES_MAX {
            open.lines.push(line);
        }
        None
    }
}

/// A word of a command line: tmux takes it as it is, whatever is in it.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' | b'$' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(parts: &[&[u8]]) -> Vec<Said> {
        let mut parser = Parser::default();
        let mut said = Vec::new();
        for part in parts {
            parser.take(part, &mut |what| said.push(what));
        }
        said
    }

    fn answer(lines: &[&str], is_error: bool, is_ours: bool) -> Said {
        Said::Answer { lines: lines.iter().map(ToString::to_string).collect(), is_error, is_ours }
    }

    #[test]
    fn answers_are_told_and_notifications_are_not() {
        let text = b"%begin 17 1 0\n%end 17 1 0\n%session-changed $1 two\n%begin 17 2 1\none\n\ntwo\n%end 17 2 1\n/x: No such file\n\
            %begin 17 3 1\nno buffer x\n%error 17 3 1\n%exit lost\n";
        let said = [answer(&[], false, false), answer(&["one", "", "two"], false, true), answer(&["no buffer x"], true, true), Said::Exit];
        assert_eq!(parse(&[text]), said);
    }

    #[test]
    fn what_a_pane_shows_ends_no_block_but_its_own() {
        let text = b"%begin 17 2 1\n%end 17 1 1\n%error\n%exit\n%begin 18 3 1\n%end 17 2 1 \n%end 17 2 1\n";
        assert_eq!(parse(&[text]), [answer(&["%end 17 1 1", "%error", "%exit", "%begin 18 3 1", "%end 17 2 1 "], false, true)]);
    }

    #[test]
    fn neither_a_long_line_nor_a_flood_of_lines_takes_the_memory() {
        let long = [b"%begin 1 1 1\n".as_slice(), &vec![b'x'; 1_000_000], b"\n", &b"y\n".repeat(10_000), b"%end 1 1 1\n"].concat();
        match parse(&[&long]).as_slice() {
            [Said::Answer { lines, .. }] => assert!(lines.len() == LINES_MAX && lines[0].len() == LINE_BYTES_MAX),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_quoted_word_has_no_newline_and_expands_nothing() {
        assert_eq!(quoted(b"/a b/$HOME\"'\\\n#{x}~;"), b"\"/a b/\\$HOME\\\"'\\\\\\n#{x}~;\"");
    }

    proptest! {
        #[test]
        fn how_the_output_is_cut_into_reads_changes_nothing(
            text in "(%begin 1 [0-3] 1\n|%end 1 [0-3] 1\n|%error 1 [0-3] 0\n|%exit\n|[a-z%]{0,5}\n?|\n){0,30}", at in 0usize..200, step in 1usize..7
        ) {
            let bytes = text.as_bytes();
            let whole = parse(&[bytes]);
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(&parse(&[head, tail]), &whole);
            prop_assert_eq!(&parse(&bytes.chunks(step).collect::<Vec<_>>()), &whole);
        }
    }
}
