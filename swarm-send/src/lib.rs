//! `swarm-send` accepts messages: checked, into the journal, on disk, then delivered to their recipients, and only then answered.
//!
//! The map: [`cli`] is the command line, [`gate`] says which message may go and to whom ([`roster`]), [`quota`] how many, [`batch`] stores what
//! was ready to be read, [`stream`] reads records, [`answer`] writes what became of each. Behind the journal, [`post`] has each message delivered
//! ([`deliver`] types it) and written down ([`delivery`]); what is [`queue`]d is tried again by [`retry`] ([`attempt`]), what is [`overdue`] by a
//! [`tick`], whoever has the [`turn`]; each call does some of it [`besides`]. [`record`] reads it back from the journal's lines.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod answer;
pub mod attempt;
pub mod attend;
pub mod batch;
pub mod besides;
pub mod cli;
pub mod deliver;
pub mod delivery;
pub mod gate;
pub mod overdue;
pub mod post;
pub mod queue;
pub mod quota;
pub mod record;
pub mod retry;
pub mod roster;
pub mod stream;
pub mod text;
pub mod tick;
pub mod turn;
pub mod wait;

use std::io::{self, IsTerminal};

use swarm_common::exit::{Exit, Failure};
use swarm_common::identity;
use swarm_common::message::Message;
use swarm_common::ndjson::{self, Out, Rejects};
use swarm_common::store::Store;

use crate::answer::{Answers, Refusal};
use crate::batch::{Batch, Origin, Told};
use crate::cli::{Deed, Input, NAME, Request, Wait};
use crate::gate::Gate;
use crate::post::Post;
use crate::quota::Quota;
use crate::roster::Roster;

/// Does what a call asks for.
///
/// # Errors
/// Status 1 when one message is over the sender's limit; 2 for one that is refused, 3 when the system failed. A stream goes on past
/// refused records and ends with the worst status.
pub fn send(request: Request) -> Result<Exit, Failure> {
    if request.input == Input::Records && io::stdin().is_terminal() {
        return Err(
            Failure::wrong("no text, and no records on standard input").hint("swarm-send --to agent-1 'text'\nsee swarm-send --help")
        );
    }
    let given = request.store.as_deref();
    let store = if request.deed == Deed::DryRun { Store::look(given)? } else { Store::open(given)? };
    let mut post = Post::of(&store);
    let mut answers = Answers::to(if request.is_quiet { None } else { Some(Out::stdout()?) });
    if request.input == Input::Queue {
        return retry::all(&mut post, &mut answers);
    }
    let who = identity::who(&store, request.own.as_deref(), request.is_forced)?;
    let mut gate = Gate::new(who, request.is_forced, request.allows_unknown, request.defaults, Roster::of(&store));
    let wait = request.wait;
    let batch =
        Batch::new(if request.deed == Deed::DryRun { None } else { Quota::of(&store)? }, request.is_strict, request.deed, request.route);
    match request.input {
        Input::Text(content) => one(&mut post, &mut gate, batch, Ok(content), answers, wait),
        Input::TextFromStdin => one(&mut post, &mut gate, batch, text::from_stdin(), answers, wait),
        Input::Records | Input::Queue => {
            let input = ndjson::stdin()?;
            ndjson::refuse_loop(&input, "standard input", request.reject.as_deref())?;
            let rejects = Rejects::new(NAME, request.reject.as_deref(), request.is_strict)?;
            stream::run(input, post, &mut gate, batch, answers, rejects)
        }
    }
}

/// One message; and then, where it is waited for, its acknowledgements.
fn one(
    post: &mut Post<'_>,
    gate: &mut Gate,
    mut batch: Batch,
    content: Result<String, Failure>,
    mut answers: Answers,
    wait: Option<Wait>,
) -> Result<Exit, Failure> {
    let mut print = |line: &[u8]| answers.line(line).and_then(|()| answers.flush());
    let message = content.map(|content| Message { content: Some(content), ..Message::default() });
    let addressed = match message.map_err(Refusal::from).and_then(|message| gate.pass(message)) {
        Ok(addressed) => addressed,
        Err(refusal) => {
            // Whether anybody hears the answer or not: it is refused.
            let _ = print(&answer::refused(None, &refusal));
            return Err(refusal.failure);
        }
    };
    let msg_id = addressed.accepted.draft.msg_id.clone();
    batch.push(Origin::default(), addressed);
    let mut seq = None;
    let mut done = batch.store(post, &mut |told| match told {
        // Who cannot read the answer may still want to know what became of the message.
        Told::Answer(line) => {
            seq = answer::seq_of(line);
            print(line).map_err(|failure| failure.hint(format!("the answer was: {}", String::from_utf8_lossy(line))))
        }
        Told::Refused(_, refusal) => {
            let _ = print(&answer::refused(None, refusal));
            Err(refusal.failure.clone())
        }
    });
    if let (Some(Wait(timeout)), Some(seq), Ok(delivered)) = (wait, seq, &done) {
        done = wait::acknowledged(post, seq, &msg_id, timeout, &mut answers).map(|exit| exit.max(*delivered));
    }
    // Nobody shall wait for what comes besides.
    answers.close();
    besides::afterwards(post);
    done
}
