//! What a call does besides, so that nobody has to remember: it takes along a piece of what is due, of what was queued and of what was not
//! acknowledged, if nobody else is at it. Where the call types itself, that goes first, in the same go; the rest comes when its answers are out.

use swarm_common::exit;
use swarm_common::store::Store;
use swarm_common::time;

use crate::cli::NAME;
use crate::delivery::Told;
use crate::post::{Letter, Post};
use crate::retry::{self, Queued, Turn};
use crate::tick::{self, Eyes, Log};
use crate::turn;

/// So many messages at most. Typed side by side, they cost a call about what its own does.
const COUNT_MAX: usize = 8;

/// What a call still has to look for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owed {
    queued: bool,
    unacknowledged: bool,
}

impl Owed {
    /// All that its config lets it.
    pub fn of(store: &Store) -> Owed {
        Owed { queued: store.config().send.retry_queued, unacknowledged: store.config().ack.auto }
    }
}

/// Delivers new letters, and tells what became of them.
pub fn deliver(post: &mut Post<'_>, letters: Vec<Letter>) -> Vec<Vec<Told>> {
    post.owed = Owed::of(post.store());
    if !letters.iter().any(Letter::is_typed) {
        return post.deliver(&letters).told;
    }
    let queued = std::mem::take(&mut post.owed.queued);
    match along(post, queued) {
        Some((turn, queued, again)) => {
            let count = again.len();
            let mut told = turn.deliver(post, queued, again.into_iter().chain(letters).collect()).1;
            told.split_off(count)
        }
        None => post.deliver(&letters).told,
    }
}

/// Does a piece of what is due, for who has only read. It delivers nothing itself.
pub fn after_reading(store: &Store) {
    let mut post = Post::of(store);
    post.owed = Owed::of(store);
    afterwards(&mut post);
}

/// What can be typed beside something else, where nobody else has the turn.
fn along<'a>(post: &mut Post<'a>, queued: bool) -> Option<(Turn<'a>, Vec<Queued>, Vec<Letter>)> {
    let store = post.store();
    let is_queued = queued && retry::is_due(store);
    let is_late = post.owed.unacknowledged && tick::is_due(post);
    if !is_queued && !is_late {
        return None;
    }
    let turn = Turn::begin(post, turn::try_take(store)?).ok()?;
    let again = if is_late { again(post) } else { Vec::new() };
    let mut queued = if is_queued { turn.due(post.journal(), COUNT_MAX) } else { Vec::new() };
    // What is both is sent again once.
    let is_again = |letter: &Letter| again.iter().any(|again| again.msg_id == letter.msg_id && again.to[0].is_same(&letter.to[0]));
    queued.retain(|(letter, _)| !is_again(letter));
    queued.truncate(COUNT_MAX.saturating_sub(again.len()));
    (!queued.is_empty() || !again.is_empty()).then_some((turn, queued, again))
}

/// What is to be sent again, as letters.
fn again(post: &Post<'_>) -> Vec<Letter> {
    let Ok(fold) = tick::look(post.store(), post.journal()) else { return Vec::new() };
    let mut eyes = Eyes::of(post.store());
    let plan = tick::plan(post.store(), &fold, time::now(), COUNT_MAX, &mut eyes);
    tick::letters(post.journal(), &plan.again, &mut eyes)
}

/// Does a piece of what is due, once the answers are out.
pub fn afterwards(post: &mut Post<'_>) {
    let Owed { queued, unacknowledged } = std::mem::take(&mut post.owed);
    let store = post.store();
    let is_queued = queued && retry::is_due(store);
    let is_late = unacknowledged && tick::is_due(post);
    if !is_queued && !is_late {
        return;
    }
    let Some(lock) = turn::try_take(store) else { return };
    let done = Turn::begin(post, lock).and_then(|turn| {
        if is_queued {
            let queued = turn.due(post.journal(), COUNT_MAX);
            turn.deliver(post, queued, Vec::new());
        }
        if is_late {
            tick::tick(post, &turn.lock, COUNT_MAX, &mut Log::default())?;
        }
        Ok(())
    });
    if let Err(failure) = done {
        exit::tell(NAME, &failure);
    }
}
