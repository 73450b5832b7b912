//! The question that tmux answers itself, in the same call that types: may this pane be typed into? And the command lines that are made of it.
//! Pure.

use super::outcome::{Why, Word, why};
use super::screen::Cursor;

/// What a pane is held against.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `%3`, and nothing else: it stands in commands as it is.
    pub id: &'a str,
    /// The process that tmux started in it.
    pub pid: u32,
    /// What may not be typed at, as [`shells`] writes it; `None` where the agent is a shell.
    pub shells: Option<&'a str>,
    /// Where its cursor was, if it is to be there still.
    pub cursor: Option<Cursor>,
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

/// And where something was in the way.
const HELD_BACK: &str = "held";

/// The names of shells as a format compares them: `|sh|bash|`.
pub fn shells(names: &[String]) -> String {
    let is_plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte));
    names.iter().filter(is_plain).fold("|".to_string(), |all, name| all + name + "|")
}

impl Target<'_> {
    /// A format of tmux that is true where the pane may be typed into. One comparison of all there is to know: nested questions took tmux twice
    /// as long (0.25 ms a pane). Where the pane is gone, tmux looks at another one, whose process is another.
    fn is_free(&self) -> String {
        let Target { pid, shells, cursor, .. } = self;
        let shell = shells.map_or("0".to_string(), is_shell);
        let (asked, there) = cursor.map_or(("", String::new()), |Cursor { x, y }| (" #{cursor_x}.#{cursor_y}", format!(" {x}.{y}")));
        format!(
            "#{{==:#{{pane_pid}} #{{pane_dead}}#{{pane_in_mode}}#{{pane_input_off}}#{{pane_synchronized}}{shell}{asked},{pid} 00000{there}}}"
        )
    }

    /// A format of tmux: why it may not be typed into; empty where it may.
    fn why(&self) -> String {
        let Target { id, pid, shells, .. } = self;
        let questions = [
            (format!("#{{!=:{},1}}", is_pane(id)), why::NO_PANE),
            ("pane_dead".into(), why::DEAD_PANE),
            (format!("#{{!=:#{{pane_pid}},{pid}}}"), why::OTHER_PROCESS),
            ("pane_in_mode".into(), why::MODE),
            ("pane_input_off".into(), why::INPUT_OFF),
            ("pane_synchronized".into(), why::SYNCHRONIZED),
            (shells.map_or("0".to_string(), is_shell), why::SHELL),
        ];
        questions.iter().rev().fold(String::new(), |rest, (question, why)| format!("#{{?{question},{why},{rest}}}"))
    }

    /// Does `commands` in one go with the question; the answer begins with `tag`.
    fn guarded(&self, tag: &str, commands: &str) -> String {
        // The commands by their short names (tmux(1)): tmux takes 4 KiB of them at a time, and looks at all its panes in between.
        let (id, is_free) = (self.id, self.is_free());
        format!("if -Ft{id} '{is_free}' {{{commands};display -p '{tag}{DONE}'}} {{display -p '{tag}{HELD_BACK}'}}\n")
    }

    /// Types the buffer, and sends the key at once where one is given.
    pub fn type_line(&self, tag: &str, buffer: &str, key: Option<&str>) -> String {
        let id = self.id;
        let key = key.map_or(String::new(), |key| format!(";send -t{id} {key}"));
        self.guarded(tag, &format!("pasteb -prb{buffer} -t{id}{key}"))
    }

    /// Sends the key.
    pub fn key_line(&self, tag: &str, key: &str) -> String {
        self.guarded(tag, &format!("send -t{} {key}", self.id))
    }

    /// Asks what is in the way, where the cursor is, and then for the screen.
    pub fn look_line(&self, tag: &str) -> String {
        let id = self.id;
        format!("display-message -p -t {id} '{tag}#{{cursor_x}}.#{{cursor_y}} {}' ; capture-pane -p -t {id}\n", self.why())
    }

    /// Only asks what is in the way.
    pub fn why_line(&self, tag: &str) -> String {
        format!("display-message -p -t {} '{tag}{}'\n", self.id, self.why())
    }
}

/// A format: whether it is that pane. Where a pane is gone, tmux tells of another one. No `%`: display-message takes that for a time, more than
/// once over where formats are nested.
fn is_pane(id: &str) -> String {
    format!("#{{m:?{},#{{pane_id}}}}", id.trim_start_matches('%'))
}

/// A format: whether the pane's foreground is one of the shells. Its name, between two bars, is the pattern.
fn is_shell(shells: &str) -> String {
    format!("#{{m:*|#{{pane_current_command}}|*,{shells}}}")
}

/// True where what was guarded was done.
pub fn is_done(answer: &str) -> bool {
    answer == DONE
}

/// Why nothing may be typed; `None` where nothing is in the way.
pub fn held(answer: &str) -> Option<(Word, Why)> {
    if answer.is_empty() {
        return None;
    }
    match HELD.iter().find(|(_, why)| *why == answer) {
        Some((word, why)) => Some((*word, Why::Borrowed(why))),
        None => Some((Word::Queued, told(answer))),
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
            let target = Target { id: "%3", pid: 12, shells, cursor: None };
            let typed = target.type_line("t:1:", "b", Some("Enter"));
            for (line, quotes) in
                [(&typed, 6), (&target.key_line("t:1:", "C-j"), 6), (&target.why_line("t:1:"), 2), (&target.look_line("t:1:"), 2)]
            {
                assert!(balanced(line) && line.matches('\'').count() == quotes && line.matches('\n').count() == 1, "{line}");
                assert_eq!(line.contains("pane_current_command"), shells.is_some());
            }
            assert!(balanced(&target.is_free()) && target.is_free().contains(",12 00000}"));
            let is_free = Target { cursor: Some(Cursor { x: 7, y: 2 }), ..target }.is_free();
            assert!(balanced(&is_free) && is_free.ends_with(" #{cursor_x}.#{cursor_y},12 00000 7.2}"), "{is_free}");
            assert!(balanced(&target.why()) && !target.why().contains('%'));
        }
    }

    #[test]
    fn no_reason_holds_what_a_format_takes_for_its_own() {
        for (_, why) in HELD {
            assert!(why.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' '), "{why}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_is_asked_for() {
        assert!(is_done("done") && !is_done("held") && !is_done(""));
        assert_eq!(held(""), None);
        assert_eq!(held("dead pane"), Some((Word::Refused, "dead pane".into())));
        assert_eq!(held("shell"), Some((Word::Queued, "shell".into())));
        assert_eq!(held("odd\u{1b}"), Some((Word::Queued, "tmux: odd\\u{1b}".into())));
    }
}
