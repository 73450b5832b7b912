//! What became of a message for one recipient.

use std::borrow::Cow;

/// What became of it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose it is.
    pub agent_id: String,
    /// What became of it.
    pub word: Word,
    /// Why it is not `delivered`.
    pub why: Option<Why>,
}

/// Why something was not delivered, in few words: one of those in [`why`], or with what tmux said.
pub type Why = Cow<'static, str>;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Typed, Enter sent; and the sign was seen, where the agent's kind has one.
    Delivered,
    /// It may have been typed.
    Unconfirmed,
    /// Nothing was typed; what was in the way may pass.
    Queued,
    /// Nothing was typed; what is in the way will not pass by itself.
    Refused,
}

impl Word {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Word::Delivered => "delivered",
            Word::Unconfirmed => "unconfirmed",
            Word::Queued => "queued",
            Word::Refused => "refused",
        }
    }

    /// The outcome of this word.
    pub fn parse(text: &str) -> Option<Word> {
        [Word::Delivered, Word::Unconfirmed, Word::Queued, Word::Refused].into_iter().find(|word| word.text() == text)
    }
}

/// The reasons. What a program compares stands here, once.
pub mod why {
    /// Queued: the agent looks for its messages itself.
    pub const INBOX: &str = "inbox";
    /// Queued: a shell would run it.
    pub const SHELL: &str = "shell";
    /// Queued: somebody has begun to write something there.
    pub const DRAFT: &str = "draft";
    /// Queued: the pane is in a mode of tmux, as copy mode.
    pub const MODE: &str = "mode";
    /// Queued: the pane takes no input (`select-pane -d`).
    pub const INPUT_OFF: &str = "input off";
    /// Queued: what is typed here is typed in other panes too (`synchronize-panes`).
    pub const SYNCHRONIZED: &str = "synchronized";
    /// Queued: another sender held the pane for too long.
    pub const BUSY: &str = "busy";
    /// Queued: tmux was asked in vain.
    pub const NO_ANSWER: &str = "tmux does not answer";
    /// Queued: there is no such program.
    pub const NOT_INSTALLED: &str = "tmux is not installed";
    /// Queued: its socket leads nowhere.
    pub const UNREACHABLE: &str = "tmux cannot be reached";
    /// Queued: the agent was woken already, and has not looked since.
    pub const UNREAD: &str = "unread";
    /// Queued: nobody has this id yet.
    pub const NOT_REGISTERED: &str = "not registered";
    /// Queued: the store's own file failed.
    pub const STORE: &str = "the store cannot be used";
    /// Refused: the pane's program has ended.
    pub const DEAD_PANE: &str = "dead pane";
    /// Refused: it was closed.
    pub const NO_PANE: &str = "no such pane";
    /// Refused: the pane was started anew.
    pub const OTHER_PROCESS: &str = "another process in the pane";
    /// Refused: pane ids of one server mean nothing to the next.
    pub const OTHER_SERVER: &str = "another tmux server";
    /// Refused: the agent has ended.
    pub const GONE: &str = "gone";
    /// Unconfirmed: the sign that is configured for this kind of agent was not seen.
    pub const NO_SIGN: &str = "no sign that it was taken";
    /// Unconfirmed: tmux ended or stopped in the middle of it.
    pub const LOST: &str = "tmux did not answer";
    /// Unconfirmed: who tried it again was killed before it could say what became of it.
    pub const KILLED: &str = "its sender was killed";
}

impl Outcome {
    /// A message that was taken.
    pub fn delivered(agent_id: &str) -> Outcome {
        Outcome { agent_id: agent_id.to_string(), word: Word::Delivered, why: None }
    }

    /// One that was not, or perhaps not.
    pub fn of(agent_id: &str, word: Word, why: impl Into<Why>) -> Outcome {
        Outcome { agent_id: agent_id.to_string(), word, why: Some(why.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_is_written() {
        for word in [Word::Delivered, Word::Unconfirmed, Word::Queued, Word::Refused] {
            assert_eq!(Word::parse(word.text()), Some(word));
        }
        assert_eq!(Word::parse("sent"), None);
    }
}
