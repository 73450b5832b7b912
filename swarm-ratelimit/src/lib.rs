//! Passes at most N records a window for each key, and says what becomes of the others. The windows slide: no span of
//! the window's length ever holds more than N, wherever it begins.
//!
//! The map: [`swarm_common::limit`] is the limit, [`window`] the windows in this process, [`shared`] those in the store, and [`limiter`] the choice
//! between them. [`stream`] passes lines on: [`record`] reads one, [`held`] keeps those who wait, [`notice`] tells people, [`wake`] is what
//! it sleeps on. [`check`] answers one question, and [`cli`] is the command line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod check;
pub mod cli;
pub mod held;
pub mod limiter;
pub mod notice;
pub mod record;
pub mod shared;
pub mod stream;
pub mod wake;
pub mod window;

use std::rc::Rc;

use signal_hook::low_level;
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::ndjson::{self, Out, Rejects};
use swarm_common::store::Store;

use crate::cli::{NAME, Streaming};
use crate::limiter::Limiter;
use crate::notice::Notices;
use crate::shared::Shared;
use crate::stream::Stream;
use crate::wake::{Patient, Signals};
use crate::window::Windows;

/// Passes standard input on to standard output.
///
/// # Errors
/// Status 2 for bad input with `--strict`, 3 when the system failed. What was passed stays passed.
pub fn limit(streaming: Streaming) -> Result<Exit, Failure> {
    let Streaming { limit, terms, shared, reject, is_strict } = streaming;
    let input = ndjson::stdin()?;
    ndjson::refuse_loop(&input, "standard input", reject.as_deref())?;
    let windows = match shared {
        None => None,
        Some(store) => Some(Box::new(Shared::new(Store::open(store.as_deref())?.rate_dir()?, terms.by.field(), limit)?)),
    };
    let rejects = Rejects::new(NAME, reject.as_deref(), is_strict)?;
    let notices = Notices::new(limit, terms.by.clone(), reject.map(|path| path.display().to_string()));
    let signals = Rc::new(Signals::catch()?);
    let limiter = match windows {
        None => Limiter::Own(Windows::new(&limit, terms.keys_max)),
        Some(windows) => Limiter::Shared(windows, signals.clone()),
    };
    let out = Out::stdout()?.through(|stdout| Patient::new(stdout, signals.clone()));
    let ended = Stream::new(terms, limiter, out, rejects, notices, signals.clone()).run(input);
    if let Some(signal) = signals.caught() {
        if let Err(failure) = &ended
            && !failure.is_quiet()
        {
            exit::say(NAME, &failure.what);
        }
        // Whoever waits for us has to see that it was the signal: a shell ends its loop then.
        low_level::emulate_default_handler(signal).map_err(|error| Failure::io("end by a signal", &error))?;
    }
    ended
}
