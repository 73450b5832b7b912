//! What was given on the command line and on standard input, read and checked.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use swarm_common::exit::Failure;
use swarm_common::platform::Process;
use swarm_common::time;

use crate::cli;
use crate::place;

/// The shortest span of a lease.
const TTL_MIN: Duration = Duration::from_millis(1);
/// The longest span of a lease.
const TTL_MAX: Duration = Duration::from_secs(30 * 86_400);
/// The longest reason.
pub const REASON_BYTES_MAX: usize = 500;

/// The span of a lease.
///
/// # Errors
/// Status 2: none, too short, or too long.
pub fn ttl(text: &str) -> Result<Duration, Failure> {
    let span = time::span(text).map_err(|failure| named("--ttl", failure))?;
    if span < TTL_MIN {
        return Err(
            Failure::wrong(format!("--ttl {text}: a lease of no time protects nothing; at least 1ms")).hint("like 30s, 5m or 1h30m")
        );
    }
    if span > TTL_MAX {
        return Err(Failure::wrong(format!("--ttl {text}: at most 30d")).hint("renew it, or let 'run' do that"));
    }
    Ok(span)
}

fn named(option: &str, mut failure: Failure) -> Failure {
    failure.what = format!("{option}: {}", failure.what);
    failure
}

/// What a lease is for, or is taken away for.
///
/// # Errors
/// Status 2: too long, or more than one line.
pub fn reason(given: Option<&str>) -> Result<String, Failure> {
    let reason = given.unwrap_or_default();
    if reason.len() > REASON_BYTES_MAX {
        return Err(Failure::wrong(format!("--reason: {} bytes, the limit is {REASON_BYTES_MAX}", reason.len())));
    }
    if reason.contains(['\n', '\0']) {
        return Err(Failure::wrong("--reason: more than one line"));
    }
    Ok(reason.to_string())
}

/// `--wait`: none, for ever, or a span.
///
/// # Errors
/// Status 2: no span; or one that was typed as a path, which would be waited for without an end.
pub fn limit(given: Option<&Option<String>>, paths: &[OsString]) -> Result<Option<Option<Duration>>, Failure> {
    let is_span = |text: &str| time::span(text).is_ok() || text.bytes().all(|byte| byte.is_ascii_digit());
    match given {
        None => Ok(None),
        Some(None) => {
            let texts = paths.iter().filter_map(|path| path.to_str()).filter(|text| !text.is_empty());
            match texts.filter(|text| is_span(text)).find(|text| fs::symlink_metadata(text).is_err()) {
                Some(text) => {
                    let unit = if text.bytes().all(|byte| byte.is_ascii_digit()) { "s" } else { "" };
                    let failure = Failure::wrong(format!("--wait takes its span with '=': --wait={text}{unit}"));
                    Err(failure.hint(format!("a path of that name: ./{text}")))
                }
                None => Ok(Some(None)),
            }
        }
        Some(Some(text)) if text.is_empty() => {
            Err(Failure::wrong("--wait= has an empty value").hint("--wait alone waits for as long as it takes"))
        }
        Some(Some(text)) => time::span(text).map(|span| Some(Some(span))).map_err(|failure| named("--wait", failure)),
    }
}

/// The process that a lease is to end with.
pub fn living(pid: u32) -> Result<Process, Failure> {
    let found = Process::of(pid).map_err(|error| Failure::io(format_args!("look for process {pid}"), &error))?;
    found.ok_or_else(|| Failure::wrong(format!("--pid {pid}: no such process is alive")))
}

/// The arguments; of a '-' alone, the names on standard input.
pub fn given(paths: Vec<OsString>, how: &cli::Names) -> Result<Vec<OsString>, Failure> {
    match paths.as_slice() {
        [one] if one == "-" => names(how.null),
        _ if paths.iter().any(|path| path == "-") => {
            Err(Failure::wrong("'-' stands alone for standard input").hint("a file of that name is ./-"))
        }
        _ if how.null => Err(Failure::wrong("-0 is about names on standard input").hint("give '-' as the path")),
        _ => Ok(paths),
    }
}

/// The names on standard input.
fn names(null: bool) -> Result<Vec<OsString>, Failure> {
    let mut bytes = Vec::new();
    // A name has at most 1,024 bytes, and a lease 10,000 of them; who sends more is told so, and does not fill the memory.
    let limit = (place::PATHS_MAX + place::GLOBS_MAX) as u64 * 1_026;
    let read = io::stdin().lock().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::io("read standard input", &error))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::wrong(format!("more than {limit} bytes on standard input"))
            .hint(format!("a lease has at most {} paths", place::PATHS_MAX)));
    }
    let end = if null { b'\0' } else { b'\n' };
    let names = bytes.split(|&byte| byte == end).filter(|name| !name.is_empty());
    let names = names.map(|name| if null { name } else { name.strip_suffix(b"\r").unwrap_or(name) });
    Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
}
