//! What one look found: a line for programs, and words for people.

use swarm_common::exit::Failure;
use swarm_common::json::Object;
use swarm_common::text;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// It works, and there is something to know.
    Note,
    /// Something does not work.
    Wrong,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// In a line.
    pub words: String,
    /// What to do, a line each; may be empty.
    pub hint: String,
    /// For programs: names and values.
    pub facts: Vec<(&'static str, Fact)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Left out where it is empty.
    Text(String),
    /// A number.
    Number(u64),
    /// A truth.
    Is(bool),
}

impl From<&str> for Fact {
    fn from(text: &str) -> Fact {
        Fact::Text(text.to_string())
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Fact {
        Fact::Text(text)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Fact {
        Fact::Number(number)
    }
}

impl From<bool> for Fact {
    fn from(is: bool) -> Fact {
        Fact::Is(is)
    }
}

impl Finding {
    fn new(check: &'static str, state: State, words: String, hint: String) -> Finding {
        Finding { check, state, words, hint, facts: Vec::new() }
    }

    /// It is as it should be.
    pub fn good(check: &'static str, words: impl Into<String>) -> Finding {
        Finding::new(check, State::Good, words.into(), String::new())
    }

    /// It works, and this is to be known.
    pub fn note(check: &'static str, words: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding::new(check, State::Note, words.into(), hint.into())
    }

    /// It does not work.
    pub fn wrong(check: &'static str, words: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding::new(check, State::Wrong, words.into(), hint.into())
    }

    /// The same of a call that failed.
    pub fn failed(check: &'static str, failure: Failure) -> Finding {
        Finding::wrong(check, failure.what, failure.hint)
    }

    /// With this besides.
    #[must_use]
    pub fn with(mut self, name: &'static str, fact: impl Into<Fact>) -> Finding {
        self.facts.push((name, fact.into()));
        self
    }

    /// `{"check":"tmux","ok":true,"version":"3.3a"}`
    pub fn line(&self) -> Vec<u8> {
        let mut object = Object::new().text("check", self.check).plain("ok", Some(self.state != State::Wrong));
        for (name, fact) in &self.facts {
            object = match fact {
                Fact::Text(text) => object.text(name, text),
                Fact::Number(number) => object.plain(name, Some(number)),
                Fact::Is(is) => object.plain(name, Some(is)),
            };
        }
        let name = match self.state {
            State::Good => "",
            State::Note => "note",
            State::Wrong => "error",
        };
        if name.is_empty() { object.end() } else { object.text(name, &self.words).text("hint", &self.hint).end() }
    }

    /// As it is printed on a terminal: clean, each line with its newline.
    pub fn page(&self) -> String {
        let sign = match self.state {
            State::Good => "ok",
            State::Note => "note",
            State::Wrong => "WRONG",
        };
        let mut page = format!("{sign:<6}{:<12}{}\n", self.check, text::clean(&self.words));
        for line in self.hint.lines() {
            page += &format!("{:18}{}\n", "", text::clean(line));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_what_a_person_does_and_nobodys_terminal_obeys_it() {
        let good = Finding::good("tmux", "3.3a").with("version", "3.3a").with("panes", 2).with("why", "").with("is", false);
        assert_eq!(String::from_utf8_lossy(&good.line()), r#"{"check":"tmux","ok":true,"version":"3.3a","panes":2,"is":false}"#);
        assert_eq!(good.page(), "ok    tmux        3.3a\n");
        let wrong = Finding::wrong("agent", "x\u{1b}[2J", "one\ntwo").with("agent_id", "x");
        let line = String::from_utf8_lossy(&wrong.line()).into_owned();
        assert!(
            line.starts_with(r#"{"check":"agent","ok":false,"agent_id":"x","error":"x"#) && line.ends_with(r#""hint":"one\ntwo"}"#),
            "{line}"
        );
        assert_eq!(wrong.page(), "WRONG agent       x\\u{1b}[2J\n                  one\n                  two\n");
        assert!(String::from_utf8_lossy(&Finding::note("a", "b", "").line()).ends_with(r#""ok":true,"note":"b"}"#));
    }
}
