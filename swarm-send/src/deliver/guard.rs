//! The question that tmux answers itself, in the same call that types: may this pane be typed into? And the command lines that are made of it.
//! Pure.

use std::fmt::Write;

use super::outcome::{Why, Word, why};

/// What a pane is held against.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `%3`, and nothing else: it stands in commands as it is.
    pub id: &'a str,
    /// The process that tmux started in it.
    pub pid: u32,
    /// What may not be typed at, as [`shells`] writes it; `None` where the agent is a shell.
    pub shells: Option<&'a str>,
}

/// What is in the way, in the order in which it is looked for. What is final comes before what passes.
const HELD: [(Word, &str); 7] = [
    (Word::Refused, why::NO_PANE),
    (Word::Refused, why::DEAD_PANE),
    (Word::Refused, why::OTHER_PROCESS),
    (Word::Queued, why::MODE),
    (Word::Queued, why::INPUT_OFF),
    (Word::Queued, why::SYNCHRONIZED),
    (Word::Queued, why::SHELL),
];

/// What tmux answers where text was typed, or a key.
const DONE: &str = "done";

/// The names of shells as a format compares them: `|sh|bash|`.
pub fn shells(names: &[String]) -> String {
    let is_plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte));
    names.iter().filter(is_plain).fold("|".to_string(), |all, name| all + name + "|")
}

impl Target<'_> {
    /// A format of tmux: empty where the pane may be typed into, else why not. Where `%` has a meaning (display-message), it is written twice.
    fn why(&self, percent: &str) -> String {
        let Target { id, pid, shells } = self;
        let number = id.trim_start_matches('%');
        // Where the pane is gone, tmux tells of another one, and so its id is asked for first.
        let mut format = String::with_capacity(400);
        let _ = write!(
            format,
            "#{{?#{{==:#{{pane_id}},{percent}{number}}},#{{?pane_dead,{},#{{?#{{!=:#{{pane_pid}},{pid}}},{},#{{?pane_in_mode,{},\
             #{{?pane_input_off,{},#{{?pane_synchronized,{},",
            why::DEAD_PANE,
            why::OTHER_PROCESS,
            why::MODE,
            why::INPUT_OFF,
            why::SYNCHRONIZED
        );
        if let Some(shells) = shells {
            // The command's name is the pattern's middle: any of the names between two bars.
            let _ = write!(format, "#{{?#{{m:*|#{{pane_current_command}}|*,{shells}}},{},}}", why::SHELL);
        }
        format.push_str("}}}}},");
        format.push_str(why::NO_PANE);
        format.push('}');
        format
    }

    /// Does `commands` in one go with the question; the answer begins with `tag`.
    fn guarded(&self, tag: &str, commands: &str) -> String {
        let (id, why, told) = (self.id, self.why("%"), self.why("%%"));
        format!(
            "if-shell -F -t {id} '{why}' {{ display-message -p -t {id} '{tag}{told}' }} {{ {commands} ; display-message -p '{tag}{DONE}' }}\n"
        )
    }

    /// Types the buffer, and sends the key at once where one is given.
    pub fn type_line(&self, tag: &str, buffer: &str, key: Option<&str>) -> String {
        let id = self.id;
        let key = key.map_or(String::new(), |key| format!(" ; send-keys -t {id} {key}"));
        self.guarded(tag, &format!("paste-buffer -p -r -b {buffer} -t {id}{key}"))
    }

    /// Sends the key.
    pub fn key_line(&self, tag: &str, key: &str) -> String {
        self.guarded(tag, &format!("send-keys -t {} {key}", self.id))
    }

    /// Only asks.
    pub fn ask_line(&self, tag: &str) -> String {
        format!("display-message -p -t {} '{tag}{}'\n", self.id, self.why("%%"))
    }
}

/// What the answer says, behind its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// Nothing is in the way (any more), and nothing was done.
    Free,
    /// Something is.
    Held(Word, Why),
}

/// Reads the answer.
pub fn verdict(answer: &str) -> Verdict {
    if answer == DONE {
        return Verdict::Done;
    }
    if answer.is_empty() {
        return Verdict::Free;
    }
    match HELD.iter().find(|(_, why)| *why == answer) {
        Some((word, why)) => Verdict::Held(*word, Why::Borrowed(why)),
        None => Verdict::Held(Word::Queued, told(answer)),
    }
}

/// A reason in tmux's own words.
pub fn told(text: &str) -> Why {
    let text: String = swarm_common::text::clean(text).chars().take(120).collect();
    Why::Owned(format!("tmux: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced(format: &str) -> bool {
        let mut depth = 0i32;
        format.chars().all(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth >= 0
        }) && depth == 0
    }

    #[test]
    fn the_question_is_one_format_that_no_quote_ends() {
        let names = shells(&["sh".into(), "bash".into(), "a,b".into(), "x}'".into(), "b|c".into()]);
        assert_eq!(names, "|sh|bash|");
        for shells in [Some(names.as_str()), None] {
            let target = Target { id: "%3", pid: 12, shells };
            let line = target.type_line("t:1:", "b", Some("Enter"));
            assert!(balanced(&line) && line.matches('\'').count() == 6 && line.matches('\n').count() == 1, "{line}");
            assert!(balanced(&target.why("%")) && target.why("%%").contains("#{pane_id},%%3}"));
            assert_eq!(target.why("%").contains("pane_current_command"), shells.is_some());
        }
    }

    #[test]
    fn no_reason_holds_what_a_format_takes_for_its_own() {
        for (_, why) in HELD {
            assert!(why.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' '), "{why}");
            assert_ne!(why, DONE);
        }
    }

    #[test]
    fn an_answer_is_read_as_it_is_asked_for() {
        assert_eq!(verdict("done"), Verdict::Done);
        assert_eq!(verdict(""), Verdict::Free);
        assert_eq!(verdict("dead pane"), Verdict::Held(Word::Refused, "dead pane".into()));
        assert_eq!(verdict("shell"), Verdict::Held(Word::Queued, "shell".into()));
        assert_eq!(verdict("odd\u{1b}"), Verdict::Held(Word::Queued, "tmux: odd\\u{1b}".into()));
    }
}
