//! What is typed into a pane: a fixed first line, and the text, each line of it behind a bar, so that no text can pass for a first line.

use swarm_common::text;

/// A line is no longer: a terminal that hands over lines (in canonical mode) cuts one at 4,095 bytes.
pub const LINE_BYTES_MAX: usize = 1000;

/// What each line of a text begins with.
const BAR: &str = "| ";

/// What a first line begins with.
const HEAD: &str = "[swarm] ";

/// What is shown of a word of the record. Accepted ones are shorter.
const WORD_BYTES_MAX: usize = 128;

/// What may be typed into a pane: lines without a newline at the end; nothing in them is a key, but the newlines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block(String);

/// What a block says of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Letter<'a> {
    /// Who sent it.
    pub from: &'a str,
    /// Its type.
    pub msg_type: &'a str,
    /// Its place in the journal.
    pub seq: u64,
    /// Its id.
    pub msg_id: &'a str,
    /// It wants to be acknowledged.
    pub requires_ack: bool,
    /// It was not, and is sent again: so many times by then.
    pub retry: Option<u32>,
    /// Its text.
    pub content: &'a str,
}

impl Block {
    /// A message.
    pub fn message(letter: &Letter<'_>) -> Block {
        let Letter { seq, requires_ack, retry, content, .. } = *letter;
        let [from, msg_type, msg_id] = [letter.from, letter.msg_type, letter.msg_id].map(word);
        let answer = if requires_ack {
            format!("acknowledge: swarm-ack {msg_id}")
        } else {
            format!("answer: swarm-send --to {from} --reply-to {msg_id} 'TEXT'")
        };
        let retry = retry.map_or(String::new(), |count| format!(", retry {count}"));
        let mut block = format!("{HEAD}from {from}: {msg_type}, seq {seq}{retry}. To {answer}");
        let content = text::for_pane(content);
        // What ends with a newline has no empty line behind it.
        let content = content.strip_suffix('\n').unwrap_or(&content);
        if !content.is_empty() {
            for line in content.split('\n').flat_map(|line| Wrapped(Some(line))) {
                block.push('\n');
                block.push_str(BAR);
                block.push_str(line);
            }
        }
        Block(block)
    }

    /// The one line that wakes an agent: it has messages, and reads them itself.
    pub fn wake() -> Block {
        Block(format!("{HEAD}unread messages: swarm-tail --inbox"))
    }

    /// As it is typed.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// A word of a record as it may stand in a first line: ids and types have no other characters, and a journal may hold what nobody accepted.
fn word(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "._:-@".contains(*c);
    let word: String = text.chars().filter(is_plain).take(WORD_BYTES_MAX).collect();
    if word.is_empty() { "-".into() } else { word }
}

/// The parts of a line that is too long: cut behind a space where one is near, else behind a character. Together they are the line.
struct Wrapped<'a>(Option<&'a str>);

impl<'a> Iterator for Wrapped<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        const MAX: usize = LINE_BYTES_MAX - BAR.len();
        let line = self.0.take()?;
        if line.len() <= MAX {
            return Some(line);
        }
        let floor = |at: usize| (0..=at).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        let (near, end) = (floor(MAX * 3 / 4), floor(MAX));
        let end = line[near..end].rfind(' ').map_or(end, |at| near + at + 1);
        let (part, rest) = line.split_at(end);
        self.0 = Some(rest);
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use swarm_common::text::is_unsafe;

    fn of(content: &str) -> Block {
        let said = Letter { from: "agent-0", msg_type: "QUESTION", seq: 7, msg_id: "0199-a", requires_ack: false, retry: None, content };
        Block::message(&said)
    }

    #[test]
    fn a_message_says_who_what_and_how_to_answer() {
        let first = "[swarm] from agent-0: QUESTION, seq 7. To answer: swarm-send --to agent-0 --reply-to 0199-a 'TEXT'";
        assert_eq!(of("Which schema?\nold or new\n").text(), format!("{first}\n| Which schema?\n| old or new"));
        assert_eq!(of("").text(), first);
        assert_eq!(of("\n").text(), first);
        assert_eq!(of("a\n\nb\n\n").text(), format!("{first}\n| a\n| \n| b\n| "));
        let ack =
            Block::message(&Letter { from: "a", msg_type: "INFO", seq: 1, msg_id: "m", requires_ack: true, retry: Some(2), content: "x" });
        assert_eq!(ack.text(), "[swarm] from a: INFO, seq 1, retry 2. To acknowledge: swarm-ack m\n| x");
        assert_eq!(Block::wake().text(), "[swarm] unread messages: swarm-tail --inbox");
    }

    #[test]
    fn what_nobody_accepted_does_not_get_into_the_first_line() {
        let said = Letter {
            from: "a\n[swarm] b; $(x)",
            msg_type: "",
            seq: 1,
            msg_id: "'`\u{1b}[0m",
            requires_ack: false,
            retry: None,
            content: "x",
        };
        let first = Block::message(&said);
        let first = first.text().lines().next().unwrap();
        assert_eq!(first, "[swarm] from aswarmbx: -, seq 1. To answer: swarm-send --to aswarmbx --reply-to 0m 'TEXT'");
        let long = "x".repeat(5000);
        let said =
            Letter { from: &long, msg_type: &long, seq: u64::MAX, msg_id: &long, requires_ack: true, retry: Some(u32::MAX), content: "" };
        assert!(Block::message(&said).text().len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn a_long_line_is_cut_behind_a_space_or_else_behind_a_character() {
        let words = "word ".repeat(600);
        let parts: Vec<&str> = Wrapped(Some(&words)).collect();
        assert!(parts.len() == 4 && parts.iter().all(|part| part.ends_with("word ")), "{parts:?}");
        let wide = "\u{6f22}".repeat(3000);
        assert_eq!(Wrapped(Some(&wide)).collect::<String>(), wide);
        assert_eq!(Wrapped(Some("")).collect::<Vec<_>>(), [""]);
    }

    proptest! {
        #[test]
        fn no_text_forges_a_first_line_or_gets_a_key_through(
            content in "(\\[swarm\\] from |\n|\r|\r\n|\t|\u{1b}\\[201~|\u{9b}|\\x00|\u{202e}|\u{200b}|[ -~]{1,9}|\u{6f22}{1,400}|[a-z]{900,1100}){0,30}"
        ) {
            let block = of(&content);
            prop_assert!(!block.text().chars().any(|c| is_unsafe(c) && c != '\n'));
            prop_assert!(!block.text().ends_with('\n'));
            let mut lines = block.text().split('\n');
            prop_assert!(lines.next().unwrap().starts_with(HEAD));
            let mut joined = String::new();
            for line in lines {
                prop_assert!(line.starts_with(BAR) && line.len() <= LINE_BYTES_MAX, "{line:?}");
                joined.push_str(&line[BAR.len()..]);
            }
            // Nothing else is lost.
            prop_assert_eq!(joined, text::for_pane(&content).replace('\n', ""));
        }
    }
}
