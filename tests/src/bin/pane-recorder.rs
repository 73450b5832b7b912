//! A stand-in for an agent in a pane: it writes down, byte for byte, what is typed at it, and behaves as a composer does: a prompt, perhaps
//! a draft behind it, perhaps a sign that a text was taken.
//!
//!     pane-recorder FILE raw|bracketed|canonical [--prompt TEXT] [--draft TEXT] [--taken TEXT]
//!
//! FILE appears when all is set up. Then the pane's title becomes that too ("recorder"): tmux has seen what was printed before it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write, stdin, stdout};
use std::process::ExitCode;

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// What Enter is to a program in raw mode.
const ENTER: u8 = b'\r';
/// ^U: the line is cleared, as in most composers.
const CLEAR: u8 = 0x15;

#[derive(Default)]
struct Call {
    file: String,
    mode: String,
    prompt: String,
    draft: String,
    taken: String,
}

fn main() -> ExitCode {
    match call(std::env::args().skip(1)).map_err(io::Error::other).and_then(|call| run(&call)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pane-recorder: {error}");
            ExitCode::from(3)
        }
    }
}

fn call(args: impl Iterator<Item = String>) -> Result<Call, String> {
    let mut call = Call::default();
    let mut places = Vec::new();
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--prompt" => call.prompt = value()?,
            "--draft" => call.draft = value()?,
            "--taken" => call.taken = value()?,
            _ => places.push(arg),
        }
    }
    [call.file, call.mode] = places.try_into().map_err(|_| "FILE and MODE are needed")?;
    Ok(call)
}

fn run(call: &Call) -> io::Result<()> {
    if call.mode != "canonical" {
        let mut settings = tcgetattr(stdin())?;
        cfmakeraw(&mut settings);
        tcsetattr(stdin(), SetArg::TCSANOW, &settings)?;
    }
    print(if call.mode == "bracketed" { "\x1b[?2004h" } else { "" })?;
    print(&format!("{}{}", call.prompt, call.draft))?;
    let record = OpenOptions::new().append(true).create_new(true).open(&call.file)?;
    print("\x1b]2;recorder\x07")?;
    record_all(call, record)
}

/// Until there is no terminal any more.
fn record_all(call: &Call, mut record: File) -> io::Result<()> {
    let mut bytes = [0; 65_536];
    loop {
        let count = match stdin().lock().read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // What the end of a pane's terminal is called on Linux.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => return Ok(()),
            Err(error) => return Err(error),
        };
        record.write_all(&bytes[..count])?;
        if call.mode == "canonical" {
            continue;
        }
        for byte in &bytes[..count] {
            match *byte {
                ENTER if call.taken.is_empty() => {}
                ENTER => print(&format!("\r\n{}\r\n{}", call.taken, call.prompt))?,
                CLEAR => print(&format!("\r\x1b[K{}", call.prompt))?,
                _ => {}
            }
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush())
}
