//! A message's way to its pane: how far it is, and what tmux is asked for it.

use std::rc::Rc;
use std::time::Instant;

use swarm_common::config::Typing;
use swarm_common::registry::Pane;

use super::Job;
use super::block::Block;
use super::outcome::Outcome;
use super::pane_lock::PaneLock;
use super::screen::Cursor;
use super::texts::TextFile;
use super::wake::Wake;

/// A message on its way to a pane.
pub(super) struct Post<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) pane: &'a Pane,
    pub(super) typing: Rc<Typing>,
    pub(super) buffer: usize,
    pub(super) state: State,
    pub(super) tries: u32,
    /// Where the cursor was when no draft stood before it.
    pub(super) cursor: Option<Cursor>,
    pub(super) lock: Option<PaneLock>,
    pub(super) wake: Option<Wake>,
    pub(super) outcome: Option<Outcome>,
}

/// How far it is.
pub(super) enum State {
    /// Behind another one for the same pane.
    Behind,
    /// It wants its pane, since then.
    Waiting(Instant),
    /// tmux was asked.
    Asked,
    /// Typed; Enter is due then.
    Resting(Instant),
    /// Enter was sent; the sign that it was taken is looked for again then, and until then.
    Watching { again: Instant, until: Instant },
    /// It has an outcome.
    Over,
}

/// What tmux was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Load a buffer.
    Load(usize),
    /// Remove one.
    Delete,
    /// What is in this one's way?
    Why(usize, Step),
    /// Does it show a draft?
    Look(usize),
    /// Type it; with Enter at once.
    Type(usize, bool),
    /// Send Enter.
    Enter(usize),
    /// Does it show that it was taken? Until then.
    Watch(usize, Instant),
}

impl Ask {
    /// True for what tmux tells its clients of.
    pub(super) fn is_of_buffers(self) -> bool {
        matches!(self, Ask::Load(_) | Ask::Delete)
    }
}

/// At which step something is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Before anything: its agent has ended.
    Gone,
    /// Nothing was typed.
    Type,
    /// It was typed, and Enter was not sent.
    Enter,
}

/// A text that tmux is given once, for all who get it.
pub(super) struct Buffer<'a> {
    pub(super) block: &'a Block,
    pub(super) name: String,
    pub(super) file: Option<TextFile>,
    pub(super) is_loaded: bool,
    /// How many have yet to be typed.
    pub(super) users: usize,
}
