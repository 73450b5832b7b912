//! The data: messages as the journal holds them, made by rule, the same on every machine. Made once, kept in `data/`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::process::Outcome;

/// About one record in a thousand has this type.
pub const RARE: &str = "CHALLENGE";
/// About every second one.
pub const HALF: &str = "INFO";

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the journal holds it: about 550 bytes.
    Stored,
    /// Without what the store alone may give: what a sender pipes into `swarm-send`.
    ToSend,
    /// About 200 bytes, and so many senders in turn.
    Small { senders: usize },
}

impl Form {
    /// Part of the file's name. Raise the number when the generator changes.
    fn name(self) -> String {
        match self {
            Form::Stored => "stored-1".to_string(),
            Form::ToSend => "to-send-1".to_string(),
            Form::Small { senders } => format!("small-1-{senders}"),
        }
    }
}

/// The file with the first so many records of this form, made where it is missing.
pub fn file(dir: &Path, form: Form, count: usize) -> Outcome<PathBuf> {
    let path = dir.join(format!("{}-{count}.ndjson", form.name()));
    if path.exists() {
        return Ok(path);
    }
    eprintln!("making {count} records ({})", form.name());
    let part = path.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
    let mut generator = Generator::new(form);
    for _ in 0..count {
        out.write_all(generator.next_line().as_bytes())?;
    }
    // On disk before it is measured: else the writing-out of these pages falls into somebody's time.
    out.into_inner()?.sync_all()?;
    std::fs::rename(part, &path)?;
    Ok(path)
}

/// One record after the other.
pub struct Generator {
    form: Form,
    random: Random,
    seq: u64,
    at_us: u64,
    last_ids: [String; 8],
    line: String,
}

impl Generator {
    pub fn new(form: Form) -> Generator {
        Generator { form, random: Random(2026), seq: 0, at_us: 0, last_ids: Default::default(), line: String::new() }
    }

    /// The next line, its newline included, in the canonical order and without white space.
    pub fn next_line(&mut self) -> &str {
        self.seq += 1;
        self.at_us += 1 + self.random.below(1_000_000);
        self.line.clear();
        self.line.push('{');
        match self.form {
            Form::Small { senders } => self.small(senders),
            Form::Stored | Form::ToSend => self.whole(),
        }
        self.line.push_str("}\n");
        &self.line
    }

    fn small(&mut self, senders: usize) {
        let (seq, id, time) = (self.seq, self.id(), self.timestamp());
        let sender = self.random.below(senders as u64);
        let _ = write!(
            self.line,
            r#""seq":{seq},"msg_id":"{id}","timestamp":"{time}","msg_type":"INFO","sender_id":"agent-{sender}","recipients":["agent-x"],"content":"#
        );
        self.line.push_str(r#""step 12 of 40 is done""#);
    }

    fn whole(&mut self) {
        let id = self.id();
        if self.form == Form::Stored {
            let (seq, time) = (self.seq, self.timestamp());
            let _ = write!(self.line, r#""seq":{seq},"msg_id":"{id}","timestamp":"{time}","#);
        }
        let kind = self.kind();
        let sender = self.random.below(40);
        let _ = write!(self.line, r#""msg_type":"{kind}","sender_id":"agent-{sender}","recipients":["#);
        match self.random.below(10) {
            0 => self.line.push_str(r#""@all""#),
            1 => {
                let _ = write!(self.line, r#""agent-{}","agent-{}""#, sender + 1, sender + 2);
            }
            _ => {
                let _ = write!(self.line, r#""agent-{}""#, self.random.below(40));
            }
        }
        self.line.push(']');
        if matches!(kind, "QUESTION" | "REVIEW-REQUEST" | "BLOCKED") {
            self.line.push_str(r#","requires_ack":true"#);
        }
        let earlier = self.random.below(8) as usize;
        if self.random.below(3) == 0 && self.form == Form::Stored && !self.last_ids[earlier].is_empty() {
            let _ = write!(self.line, r#","reply_to":"{}""#, self.last_ids[earlier]);
        }
        if self.random.below(2) == 0 {
            let _ = write!(self.line, r#","thread":"{}""#, self.random.pick(THREADS));
        }
        if self.random.below(6) == 0 {
            let (file, lines, files) = (self.random.pick(FILES), self.random.below(900), self.random.below(20));
            let _ = write!(self.line, r#","data":{{"file":"{file}","lines":{lines},"changed":[{files},{lines}],"clean":true}}"#);
        }
        self.line.push_str(r#","content":""#);
        self.content();
        self.line.push('"');
        self.last_ids[(self.seq % 8) as usize] = id;
    }

    fn kind(&mut self) -> &'static str {
        match self.random.below(1000) {
            0 => RARE,
            1..=500 => HALF,
            501..=700 => "ACK",
            701..=820 => "COMPLETED",
            821..=910 => "QUESTION",
            911..=970 => "REVIEW-REQUEST",
            _ => "BLOCKED",
        }
    }

    /// Mostly short, sometimes a page: what agents write to each other.
    fn content(&mut self) {
        let sentences = match self.random.below(10) {
            0..=3 => 1 + self.random.below(3),
            4..=7 => 3 + self.random.below(4),
            _ => 6 + self.random.below(10),
        };
        for i in 0..sentences {
            if i > 0 {
                self.line.push_str(if self.random.below(6) == 0 { r"\n" } else { " " });
            }
            let file = self.random.pick(FILES);
            match self.random.below(40) {
                // Agents quote records to each other: what looks like a type, and is none.
                0 => {
                    let _ = write!(self.line, r#"I got {{\"msg_type\":\"{}\"}} twice, please look."#, self.random.pick(&[RARE, HALF]));
                }
                1 => {
                    let _ = write!(self.line, r#"Error in {file}: expected \"{}\", found \"\\n\"."#, self.random.pick(NOUNS));
                }
                2 => {
                    let _ = write!(self.line, "Prüfung von {file}: {} Fälle ✓ → weiter.", self.random.below(500));
                }
                _ => {
                    let (verb, noun, number) = (self.random.pick(VERBS), self.random.pick(NOUNS), self.random.below(2000));
                    let _ = write!(self.line, "{verb} {noun} in {file}:{number}.");
                }
            }
        }
    }

    /// A UUIDv7 of this record's time.
    fn id(&mut self) -> String {
        // 2026-11-01T00:00:00Z in milliseconds.
        let ms = 1_793_491_200_000 + self.at_us / 1000;
        let (a, b) = (self.random.next(), self.random.next());
        format!("{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}", ms >> 16, ms & 0xffff, a & 0xfff, 0x8000 | (a >> 12) & 0x3fff, b & 0xffff_ffff_ffff)
    }

    /// A million records take six days, so the month needs no calendar.
    fn timestamp(&self) -> String {
        let (s, us) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        format!("2026-11-{:02}T{:02}:{:02}:{:02}.{us:06}Z", 1 + s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len() as u64) as usize]
    }
}

const THREADS: &[&str] = &["auth", "billing", "migration-42", "flaky-tests", "release-1.8", "schema", "docs", "perf"];
const FILES: &[&str] = &[
    "src/auth/login.rs",
    "src/auth/session/token_store.rs",
    "crates/billing/src/invoice.rs",
    "tests/end_to_end/checkout.rs",
    "web/app/[id]/page.tsx",
    "migrations/0042_add_tenant.sql",
    "docs/architecture.md",
    "Makefile",
    "src/lib.rs",
];
const VERBS: &[&str] = &[
    "I am about to change the",
    "Please review the",
    "Done with the",
    "Could you hold off editing the",
    "The tests fail since you touched the",
    "I would rather keep the",
    "Blocked on the",
    "Who owns the",
    "Let me know before you move the",
];
const NOUNS: &[&str] = &[
    "retry loop",
    "error type",
    "session cache and its eviction",
    "tenant column",
    "public API",
    "rate limiter",
    "integration test for expired tokens",
    "feature flag",
    "build script",
    "lock ordering",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn records(form: Form, count: usize) -> Vec<String> {
        let mut generator = Generator::new(form);
        (0..count).map(|_| generator.next_line().to_string()).collect()
    }

    #[test]
    fn records_are_as_long_and_as_mixed_as_the_benches_say() {
        let lines = records(Form::Stored, 50_000);
        let mean = lines.iter().map(String::len).sum::<usize>() / lines.len();
        assert!((530..=570).contains(&mean), "{mean}");
        let share = |kind: &str| lines.iter().filter(|line| line.contains(&format!("\"msg_type\":\"{kind}\""))).count();
        assert!((30..=70).contains(&share(RARE)), "{}", share(RARE));
        assert!((24_500..=25_500).contains(&share(HALF)), "{}", share(HALF));
        let small = records(Form::Small { senders: 3 }, 1000);
        let mean = small.iter().map(String::len).sum::<usize>() / small.len();
        assert!((190..=210).contains(&mean), "{mean}");
    }

    #[test]
    fn records_are_canonical_json_with_a_dense_seq() -> Outcome<()> {
        for (i, line) in records(Form::Stored, 20_000).iter().enumerate() {
            let value: serde_json::Value = serde_json::from_str(line)?;
            assert_eq!(value["seq"], i + 1);
            // serde_json keeps the order and writes no white space, so a canonical line comes back as it was.
            assert_eq!(value.to_string(), line.trim_end());
        }
        Ok(())
    }

    #[test]
    fn the_same_records_every_time() {
        assert_eq!(records(Form::Stored, 1000), records(Form::Stored, 1000));
        assert_eq!(records(Form::Stored, 1000)[..10], records(Form::Stored, 10)[..]);
    }
}
