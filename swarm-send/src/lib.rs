//! `swarm-send` accepts messages: checked, into the journal, on disk, and only then answered. Delivery to panes has its place behind the
//! journal, in [`batch`].
//!
//! The map: [`cli`] is the command line, [`gate`] says which message may go, [`quota`] how many, [`batch`] stores what was ready to be read,
//! [`stream`] reads records, [`answer`] writes what became of each.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod answer;
pub mod batch;
pub mod cli;
pub mod deliver;
pub mod gate;
pub mod quota;
pub mod stream;
pub mod text;

use std::io::{self, IsTerminal};

use swarm_common::exit::{Exit, Failure};
use swarm_common::identity;
use swarm_common::message::Message;
use swarm_common::ndjson::{self, Out, Rejects};
use swarm_common::store::Store;

use crate::answer::{Answers, Refusal};
use crate::batch::{Batch, Origin, Told};
use crate::cli::{Input, NAME, Request};
use crate::gate::Gate;
use crate::quota::Quota;

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
    let store = Store::open(request.store.as_deref())?;
    let identity = identity::who(&store, request.own.as_deref(), request.is_forced)?;
    let mut gate = Gate::new(identity, request.is_forced, request.defaults);
    let batch = Batch::new(Quota::of(&store)?, request.is_strict);
    let mut answers = Answers::to(if request.is_quiet { None } else { Some(Out::stdout()?) });
    match request.input {
        Input::Text(content) => one(&store, &mut gate, batch, Ok(content), &mut answers),
        Input::TextFromStdin => one(&store, &mut gate, batch, text::from_stdin(), &mut answers),
        Input::Records => {
            let input = ndjson::stdin()?;
            ndjson::refuse_loop(&input, "standard input", request.reject.as_deref())?;
            let rejects = Rejects::new(NAME, request.reject.as_deref(), request.is_strict)?;
            stream::run(input, &store.journal(), &mut gate, batch, answers, rejects)
        }
    }
}

/// One message.
fn one(store: &Store, gate: &mut Gate, mut batch: Batch, content: Result<String, Failure>, answers: &mut Answers) -> Result<Exit, Failure> {
    let mut print = |line: &[u8]| answers.line(line).and_then(|()| answers.flush());
    let message = content.map(|content| Message { content: Some(content), ..Message::default() });
    let accepted = match message.map_err(Refusal::from).and_then(|message| gate.pass(message)) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            // Whether anybody hears the answer or not: it is refused.
            let _ = print(&answer::refused(None, &refusal));
            return Err(refusal.failure);
        }
    };
    batch.push(Origin::default(), accepted);
    batch.store(&store.journal(), &mut |told| match told {
        // Who cannot read the answer may still want to know what became of the message.
        Told::Answer(line) => print(line).map_err(|failure| failure.hint(format!("the answer was: {}", String::from_utf8_lossy(line)))),
        Told::Refused(_, refusal) => {
            let _ = print(&answer::refused(None, refusal));
            Err(refusal.failure.clone())
        }
    })?;
    Ok(Exit::Yes)
}
