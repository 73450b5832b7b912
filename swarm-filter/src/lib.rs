//! `swarm-filter` passes the records that match, byte for byte, and nothing else.
//!
//! A line comes in through [`stream`] (pipes: one line at a time, at once) or [`blocks`] and [`files`] (regular files: large blocks, on
//! several cores); [`condition`] judges it, and [`output`] hands it on in its order. [`cli`] is the command line. Nothing here
//! changes a line, and no line is ever dropped in silence: it passes, does not match, is blank, or is told as bad.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod blocks;
pub mod cli;
pub mod condition;
pub mod files;
pub mod output;
pub mod stream;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::message::TYPES;
use swarm_common::ndjson::{self, Out, Rejects};

use crate::cli::{NAME, Request};
use crate::condition::Judge;
use crate::files::Settings;
use crate::output::{Flow, Output, Sink};

/// Does what a call asks for.
///
/// # Errors
/// Status 2 for bad input with `--strict`, 3 when the system failed; what could be passed is passed.
pub fn filter(request: Request) -> Result<Exit, Failure> {
    let Request { conditions, is_inverted, show, max, reject, is_strict, files } = request;
    // Who expects bad lines wants them all, and who allows none too.
    let judge = Judge::new(conditions, is_inverted, is_strict || reject.is_some());
    let rejects = Rejects::new(NAME, reject.as_deref(), is_strict)?;
    let mut output = Output { out: Out::stdout()?, rejects, show, max, matched: 0, source: String::new() };
    let inputs = if files.is_empty() { &[OsStr::new("-").to_owned()][..] } else { &files };
    let mut worst = Exit::Yes;
    let mut end = Ok(());
    for name in inputs {
        if output.is_done() {
            break;
        }
        // Where there is only standard input, its name would be noise.
        output.source = if files.is_empty() || files == ["-"] { String::new() } else { name.display().to_string() };
        let file = match open(name, reject.as_deref()) {
            Ok(file) => file,
            // As grep does: the other files still go through.
            Err(failure) => {
                exit::tell(NAME, &failure);
                worst = worst.max(failure.exit);
                continue;
            }
        };
        match one(file, &judge, &mut output) {
            Ok(Flow::On) => {}
            Ok(Flow::Done) => break,
            Err(failure) => {
                end = Err(failure);
                break;
            }
        }
    }
    // Also when something failed: what passed before it stays passed.
    let is_done = output.is_done();
    if show == output::Show::Count && end.is_ok() {
        output.out.line(output.matched.to_string().as_bytes())?;
    }
    let flushed = output.flush();
    output.rejects.sum_up();
    end.and(flushed)?;
    let is_bad = output.rejects.count() > 0 && !output.rejects.are_kept();
    Ok(match (output.matched > 0, is_done && output.matched > 0) {
        (_, true) => Exit::Yes,
        _ if worst > Exit::No => worst,
        _ if is_bad => Exit::Wrong,
        (true, _) => Exit::Yes,
        (false, _) => Exit::No,
    })
}

/// An input that can be read to an end: not the file that rejects or results are appended to, for that has none.
fn open(name: &OsStr, kept_in: Option<&Path>) -> Result<File, Failure> {
    let file = if name == "-" { ndjson::stdin() } else { ndjson::open(Path::new(name)) };
    let name = name.display().to_string();
    let file = file.map_err(|failure| {
        // `swarm-filter ack log`, as one would call grep.
        let is_type = TYPES.iter().any(|known| known.eq_ignore_ascii_case(&name));
        if is_type { failure.hint(format!("for the records of that type: {NAME} --type {name}")) } else { failure }
    })?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(Failure::wrong("cannot read standard input: it is a directory"));
    }
    ndjson::refuse_loop(&file, &name, kept_in)?;
    Ok(file)
}

fn one(mut file: File, judge: &Judge, output: &mut Output) -> Result<Flow, Failure> {
    let meta = file.metadata().map_err(|error| Failure::io("look at the input", &error))?;
    if !meta.is_file() {
        return stream::run(file, judge, output);
    }
    // Standard input may stand anywhere in its file; the read position is shared with whoever gave it to us.
    let position = file.stream_position().unwrap_or(0);
    let flow = files::run(&file, position, Settings::for_bytes(meta.len().saturating_sub(position)), judge, output)?;
    if flow == Flow::On {
        // Blocks are read by their place, which moves nothing: whoever reads on behind us finds the end, as behind any other tool.
        let _ = file.seek(SeekFrom::End(0));
    }
    Ok(flow)
}
