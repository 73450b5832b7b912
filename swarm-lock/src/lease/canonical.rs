//! A lease's line, letter by letter as [`Lease::write`](super::Lease::write) writes it: to know what comes next is five times as fast as to
//! read a record that may be any. What differs in anything is left to the scanner, and what is read here, that reads in the same way.

use swarm_common::json::{Str, Value};

use super::{Mode, Row};

/// Reads a lease on paths that is tied to no process; none where the line may be anything else.
pub fn read(line: &[u8]) -> Option<Row<'_>> {
    // Then a string ends at the next quote, and what is between is what it says. (A fold, for it looks at 16 bytes at a time.)
    if line.iter().fold(false, |is_odd, &byte| is_odd | !(b' '..=b'~').contains(&byte) | (byte == b'\\')) {
        return None;
    }
    let mut rest = Rest(line);
    let token = rest.skip(b"{\"token\":")?.number()?;
    let agent_id = rest.skip(b",\"agent_id\":\"")?.string()?;
    let mode = Mode::of(&rest.skip(b",\"mode\":\"")?.string()?.decode())?;
    let start = rest.skip(b",\"paths\":")?.0;
    rest.skip(b"[\"")?.string()?;
    while rest.skip(b",\"").is_some() {
        rest.string()?;
    }
    rest.skip(b"]")?;
    let paths = Value::Array(&start[..start.len() - rest.0.len()]);
    let since = rest.skip(b",\"since\":\"")?.string()?;
    let expires_at = rest.skip(b",\"expires_at\":\"")?.string()?;
    let reason = match rest.skip(b",\"reason\":\"") {
        Some(rest) => Some(rest.string()?),
        None => None,
    };
    let shown = &line[..line.len() - rest.0.len()];
    let ends_us = rest.skip(b",\"ends_us\":")?.number()?;
    let boot_id = rest.skip(b",\"boot_id\":\"")?.string()?;
    (rest.0 == b"}").then_some(Row {
        line,
        shown: Some(shown),
        token,
        agent_id,
        mode,
        files: 1,
        ends_us,
        since: Some(since),
        expires_at: Some(expires_at),
        reason,
        pid: None,
        boot_id,
        paths,
        globs: None,
        pid_start: None,
        pid_space: None,
        run_pid: None,
        run_start: None,
    })
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Past `text`, if it stands here.
    fn skip(&mut self, text: &[u8]) -> Option<&mut Rest<'a>> {
        self.0 = self.0.strip_prefix(text)?;
        Some(self)
    }

    /// From behind the opening quote to behind the closing one.
    fn string(&mut self) -> Option<Str<'a>> {
        let end = memchr::memchr(b'"', self.0)?;
        let text = Str::plain(&self.0[..end]);
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    /// A whole number, which JSON writes without leading zeros.
    fn number(&mut self) -> Option<u64> {
        let (mut number, start) = (0u64, self.0);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.0 = rest;
        }
        let len = start.len() - self.0.len();
        (len == 1 || (len > 1 && start[0] != b'0')).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use swarm_common::json::Scanner;
    use swarm_common::platform::Process;

    use super::*;
    use crate::clock::Clock;
    use crate::lease::{Lease, Line, scan};
    use crate::pattern::Pattern;

    fn line(token: u64, agent_id: &str, paths: &[String], reason: &str, change: impl FnOnce(&mut Lease)) -> Vec<u8> {
        let now = Timestamp::from_microsecond(1_800_000_000_123_456).expect("a time");
        let mut lease = Lease {
            token,
            agent_id: agent_id.into(),
            mode: if token.is_multiple_of(2) { Mode::Shared } else { Mode::Exclusive },
            patterns: paths.iter().map(|path| Pattern::literal(path).expect("a path")).collect(),
            files: 1,
            since: now,
            boot_id: "9870c4ef-b1de-448b-b5d5-00f0f264434b".into(),
            ends_us: token * 7,
            tie: None,
            keeper: None,
            reason: reason.into(),
        };
        change(&mut lease);
        let mut line = Vec::new();
        lease.write(&Clock { boot_id: lease.boot_id.clone(), boot_us: 1, now }, &mut line);
        line
    }

    fn shown(row: &Row<'_>) -> String {
        format!("{row:?}")
    }

    /// All that is read here, the scanner reads so too.
    fn agrees(line: &[u8]) -> Result<bool, TestCaseError> {
        let Some(row) = read(line) else { return Ok(false) };
        let Some(Line::Lease(scanned)) = scan(line, &mut Scanner::new()) else {
            return Err(TestCaseError::fail(format!("no lease: {}", String::from_utf8_lossy(line))));
        };
        prop_assert_eq!(shown(&row), shown(&scanned));
        Ok(true)
    }

    #[test]
    fn leases_on_paths_are_read_and_others_left() {
        let plain = line(7, "ann", &["a/b c]".into(), "a/,d".into()], "", |_| {});
        let row = read(&plain).expect("read");
        assert_eq!(row.patterns().map(|(text, _)| text.into_owned()).collect::<Vec<_>>(), ["a/b c]", "a/,d"]);
        assert!(read(&line(7, "ann", &["a".into()], "because", |_| {})).is_some_and(|row| row.reason() == "because"));
        let process = Process { pid: 7, start: "1".into(), space: None };
        let others = [
            line(7, "ann", &["a\"b".into()], "", |_| {}),
            line(7, "ann", &["é".into()], "", |_| {}),
            line(7, "ann", &["a".into()], "", |lease| lease.files = 2),
            line(7, "ann", &["a".into()], "", |lease| lease.tie = Some(process)),
            line(7, "ann", &[], "", |lease| lease.patterns = vec![Pattern::glob("a/*").expect("a glob")]),
        ];
        for line in others {
            assert!(read(&line).is_none() && scan(&line, &mut Scanner::new()).is_some(), "{}", String::from_utf8_lossy(&line));
        }
        let text = String::from_utf8(plain).expect("text");
        for (from, to) in [("7,", "07,"), ("7,", ","), ("7,", "18446744073709551616,"), (":7", ": 7"), ("exclusive", "both"), ("}", "}}")] {
            assert!(read(text.replacen(from, to, 1).as_bytes()).is_none(), "{from} {to}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_read_here_is_what_the_scanner_reads(
            token in 1..1_000_000u64, agent_id in "[a-z-]{1,9}",
            paths in prop::collection::vec("[a-z\\]\\[,:{}]{1,6}(/[a-zé\" ]{0,3}x)?", 1..4),
            reason in "[a-z ,:\"\\\\é\n\u{7f}]{0,6}",
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, "[\"\\\\,:{}\\[\\]0 a\u{1}\u{7f}é]{0,2}"), 0..3),
            piece in any::<[prop::sample::Index; 3]>()
        ) {
            let mut line = line(token, &agent_id, &paths, &reason, |_| {});
            let is_plain = |text: &String| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
            let is_plain = paths.iter().chain([&reason]).all(is_plain);
            prop_assert_eq!(agrees(&line)?, is_plain);
            // A piece of it elsewhere again.
            let [from, to, at] = piece.map(|index| index.index(line.len()));
            let mut again = line.clone();
            again.splice(at..at, line[from.min(to)..from.max(to)].iter().copied());
            agrees(&again)?;
            for (at, len, text) in cuts {
                let at = at.index(line.len());
                line.splice(at..(at + len).min(line.len()), text.bytes());
            }
            agrees(&line)?;
        }
    }
}
