//! All of standard input as one content.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use swarm_common::exit::Failure;
use swarm_common::message::CONTENT_BYTES_MAX;
use swarm_common::ndjson;

/// What is over the limit is counted so far, to say how much it was, and not kept.
const COUNTED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads it to its end.
///
/// # Errors
/// Status 2 when it is no text or over the limit; 3 when it cannot be read.
pub fn from_stdin() -> Result<String, Failure> {
    read(Waiting(ndjson::stdin()?))
}

/// Programs that never block (node, asyncio) share their pipes with us as they are: then it is waited for what comes.
struct Waiting(File);

impl Read for Waiting {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ndjson::wait_for_input(self.0.as_fd(), None).map_err(|failure| io::Error::other(failure.what))?;
                }
                done => return done,
            }
        }
    }
}

fn read(mut from: impl Read) -> Result<String, Failure> {
    let failed = |error| Failure::io("read the text from standard input", &error);
    let mut text = Vec::new();
    let kept = from.by_ref().take(CONTENT_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if kept > CONTENT_BYTES_MAX {
        let more = std::io::copy(&mut from.take(COUNTED_BYTES_MAX), &mut std::io::sink()).map_err(failed)?;
        let least = if more == COUNTED_BYTES_MAX { "more than " } else { "" };
        return Err(Failure::wrong(format!("content of {least}{} bytes: at most {CONTENT_BYTES_MAX} are allowed", kept as u64 + more))
            .hint("put it into a file and send its path"));
    }
    String::from_utf8(text)
        .map_err(|error| Failure::wrong(format!("the text is not UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_at_the_limit_is_read_and_a_longer_one_is_told_with_its_size() {
        assert_eq!(read(&vec![b'a'; CONTENT_BYTES_MAX][..]).map(|text| text.len()), Ok(CONTENT_BYTES_MAX));
        let told = |bytes: usize| read(std::io::repeat(b'a').take(bytes as u64)).expect_err("too long").what;
        assert!(told(CONTENT_BYTES_MAX + 1).starts_with("content of 10241 bytes"));
        assert!(told(1_000_000).starts_with("content of 1000000 bytes"));
        assert!(told(100_000_000).starts_with("content of more than 16"));
        assert!(read(&b"ab\xff"[..]).expect_err("no text").what.ends_with("byte 3"));
        assert_eq!(read(&b"a\n"[..]), Ok("a\n".into()), "all of it, the last newline too");
    }
}
