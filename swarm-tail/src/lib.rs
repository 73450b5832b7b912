//! `swarm-tail` prints the journal or any NDJSON file, follows it and resumes it, byte for byte.
//!
//! [`journal`] prints records by their seqs, within a [`cap`], and remembers through a cursor what standard output took. [`files`]
//! prints files, and [`follow`] follows them by [`name`], with the [`trail`] of those that were renamed; both read through [`source`].
//! What must not wait for a slow reader goes out through a [`pipe`] in pieces. [`cli`] is the command line. Nothing here looks into a record but
//! the [`inbox`], which finds the ones for one agent.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod cap;
pub mod cli;
pub mod files;
pub mod follow;
pub mod inbox;
pub mod journal;
pub mod name;
pub mod pipe;
pub mod source;
pub mod trail;

use swarm_common::exit::{Exit, Failure};
use swarm_common::ndjson::{self, Out};
use swarm_common::store::Store;
use swarm_send::besides;

use crate::cli::{NAME, Peek, Request};

/// Does what a call asks for.
///
/// # Errors
/// Status 2 for a file that cannot be read, 3 when the system failed; what could be printed is printed.
pub fn tail(request: Request) -> Result<Exit, Failure> {
    let mut out = Out::stdout()?;
    match request {
        Request::Journal { wanted, store } => {
            // Who waits, or remembers, needs a place for it; who only looks makes nothing.
            let makes = wanted.is_followed || wanted.reader.as_ref().is_some_and(|(_, peek)| *peek == Peek::No);
            let store = if makes { Store::open(store.as_deref()) } else { Store::look(store.as_deref()) };
            let store = store?;
            let exit = journal::print(&store, &wanted, out)?;
            if wanted.is_read() {
                ndjson::close_stdout();
                besides::after_reading(&store);
            }
            Ok(exit)
        }
        Request::Files { files, lines, is_followed: false } => files::print(&files, lines, &mut out),
        Request::Files { files, lines, is_followed: true } => follow::run(files, lines, out),
    }
}
