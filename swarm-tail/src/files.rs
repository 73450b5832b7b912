//! Files and pipes printed once, byte for byte. It never waits for a file to grow.

use std::ffi::OsString;
use std::fs::File;
use std::io::Seek;
use std::os::fd::AsFd;
use std::path::Path;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::ndjson::{self, Lines, Out, Piece};

use crate::NAME;
use crate::source::{BLOCK_BYTES, Read, Source, last_lines};

/// Prints each file, or its last `lines` lines. One that cannot be read is told, and the others still go.
///
/// # Errors
/// What reading or writing fails with.
pub fn print(files: &[OsString], lines: Option<u64>, out: &mut Out) -> Result<Exit, Failure> {
    let mut block = Vec::new();
    let mut worst = Exit::Yes;
    for name in files {
        let file = if name == "-" { ndjson::stdin() } else { ndjson::open(Path::new(name)) };
        let printed = file.and_then(|file| one(file, name, lines, &mut block, out));
        match printed {
            Ok(()) => {}
            Err(failure) if failure.exit == Exit::Wrong => {
                exit::tell(NAME, &failure);
                worst = Exit::Wrong;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(worst)
}

fn one(mut file: File, name: &OsString, lines: Option<u64>, block: &mut Vec<u8>, out: &mut Out) -> Result<(), Failure> {
    let meta = file.metadata().map_err(|error| Failure::io(format_args!("look at {}", name.display()), &error))?;
    if !meta.is_file() {
        return match lines {
            None => stream(file, out),
            Some(count) => Err(Failure::wrong(format!("{} has no end to count lines from", name.display()))
                .hint(format!("-n wants a file; for a pipe: | tail -n {count}"))),
        };
    }
    ndjson::refuse_loop(&file, &name.to_string_lossy(), None)?;
    block.resize(BLOCK_BYTES, 0);
    // Standard input may stand anywhere in its file.
    let position = if name == "-" { file.stream_position().unwrap_or(0) } else { 0 };
    let start = match lines {
        Some(count) => last_lines(&file, count, false, block)?.max(position),
        None => position,
    };
    let mut source = Source::new(file, start);
    loop {
        match source.next(block)? {
            Read::Lines(at) | Read::Part(at) => out.lines(&block[at])?,
            // There is no way back in what was printed: it ends as far as it was good.
            Read::Rewritten => return out.flush(),
            // A last line without newline.
            Read::Nothing if source.finish() => {}
            Read::Nothing => return out.flush(),
        }
    }
}

/// A pipe: each line is passed as soon as it is there.
fn stream(input: File, out: &mut Out) -> Result<(), Failure> {
    let mut lines = Lines::new(input);
    loop {
        while let Some(piece) = lines.buffered() {
            match piece {
                Piece::Line(line) => out.line(line)?,
                Piece::TooLong { part, last: false, .. } => out.lines(part)?,
                Piece::TooLong { part, last: true, .. } => out.line(part)?,
            }
        }
        out.flush()?;
        if lines.is_done() {
            return Ok(());
        }
        ndjson::wait_for_input(lines.input().as_fd(), Some(out.fd()))?;
        lines.fill()?;
    }
}
