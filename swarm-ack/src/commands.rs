//! The commands that look: pending, status, wait; and the one that does what is due, tick.

use swarm_common::exit::{self, Exit, Failure, Progress};
use swarm_common::ndjson::Out;
use swarm_common::pending::{Standing, Waiting};
use swarm_common::store::Store;
use swarm_common::{identity, time};
use swarm_send::answer::Answers;
use swarm_send::post::Post;
use swarm_send::tick::{self, Log};
use swarm_send::{turn, wait};

use crate::cli::{self, NAME};
use crate::{answer, story, targets};

/// Prints what waits.
///
/// # Errors
/// Status 2 for what is no agent id, 3 when the system failed.
pub fn pending(options: &cli::Pending) -> Result<Exit, Failure> {
    let cli::Pending { agent, from, overdue, place } = options;
    for (name, id) in [("--for", agent), ("--from", from)] {
        id.as_deref().map_or(Ok(()), |id| identity::check(name, id))?;
    }
    let store = Store::look(place.store.as_deref())?;
    let fold = tick::look(&store, &store.journal())?;
    let (retry, now) = (&store.config().ack.retry, time::now());
    let is = |wanted: &Option<String>, id: &str| wanted.as_deref().is_none_or(|wanted| identity::is_same(wanted, id));
    let is_late = |waiting: &Waiting<'_>| waiting.standing(retry, now) != Standing::Waiting;
    let (mut out, mut is_any) = (Out::stdout()?, false);
    for waiting in fold.state().all() {
        if is(agent, waiting.agent_id) && is(from, waiting.sender_id) && (!*overdue || is_late(&waiting)) {
            is_any = true;
            out.line(&answer::waiting("", &waiting, retry, now))?;
        }
    }
    out.flush()?;
    Ok(if is_any { Exit::Yes } else { Exit::No })
}

/// Prints the whole story of a message.
///
/// # Errors
/// Status 1 where retention took it, 2 where there is none of that id, 3 when the system failed.
pub fn status(options: &cli::Status) -> Result<Exit, Failure> {
    targets::id(None, &options.msg_id)?;
    let store = Store::look(options.place.store.as_deref())?;
    let journal = store.journal();
    // What waits is looked at first: what came meanwhile is then in the story, and the two do not contradict each other but in that.
    let fold = tick::look(&store, &journal)?;
    let story = story::of(&journal, &options.msg_id)?;
    let mut out = Out::stdout()?;
    out.line(&answer::accepted(&story))?;
    for line in story.events.iter().flat_map(answer::events) {
        out.line(&line)?;
    }
    let (retry, now) = (&store.config().ack.retry, time::now());
    for waiting in fold.state().of(&options.msg_id).iter().filter(|waiting| story.acknowledged_by(waiting.agent_id).is_none()) {
        out.line(&answer::waiting("waiting", waiting, retry, now))?;
    }
    out.flush()?;
    Ok(Exit::Yes)
}

/// Waits until all who were asked have acknowledged a message.
///
/// # Errors
/// Status 1 where retention took it, 2 where it asks nobody or there is none of that id, 3 when the system failed.
pub fn wait(options: &cli::Wait) -> Result<Exit, Failure> {
    let cli::Wait { msg_id, timeout, place } = options;
    targets::id(None, msg_id)?;
    let store = Store::look(place.store.as_deref())?;
    let mut post = Post::of(&store);
    let seq = story::of(post.journal(), msg_id)?.seq;
    wait::acknowledged(&mut post, seq, msg_id, *timeout, &mut Answers::to(Some(Out::stdout()?)))
}

/// Does what is due now, once.
///
/// # Errors
/// Status 1 while another process does it; 3 when the system failed.
pub fn tick(options: &cli::Tick) -> Result<Exit, Failure> {
    let store = Store::open(options.place.store.as_deref())?;
    let mut out = Out::stdout()?;
    let mut post = Post::of(&store);
    if !tick::is_due(&post) {
        return Ok(Exit::Yes);
    }
    let turn = turn::take(&store)?.ok_or_else(turn::is_taken)?;
    let mut log = Log { progress: Progress::new(), ..Log::default() };
    let done = tick::tick(&mut post, &turn, options.max, &mut log);
    drop(turn);
    log.lines.iter().try_for_each(|line| out.line(line)).and_then(|()| out.flush())?;
    let done = done?;
    if done.rest > 0 {
        exit::say(NAME, &format!("{} done, {} more are due:  swarm-ack tick", done.count, done.rest));
    }
    Ok(Exit::Yes)
}
