//! A rate limit and how it is written: so many records a span, `10/60s`. What keeps it is in `swarm-ratelimit`.

use std::fmt;
use std::time::Duration;

use crate::exit::Failure;
use crate::time;

/// The most records that a limit may allow a window.
pub const COUNT_MAX: u32 = 1_000_000_000;

/// The longest window. Times are counted in microseconds, and this is far from where they end.
pub const PER_MAX: Duration = Duration::from_secs(366 * 86_400);

/// At most `count` records in any window of the length `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    count: u32,
    per: Duration,
}

impl Limit {
    /// What stands where nothing is said: 10 records a minute.
    pub const DEFAULT: Limit = Limit { count: 10, per: Duration::from_secs(60) };

    /// A limit of `count` (1 to [`COUNT_MAX`]) records in `per` (whole milliseconds, 1 ms to [`PER_MAX`]).
    ///
    /// # Errors
    /// Status 2 when one of the two is out of its range.
    pub fn new(count: u32, per: Duration) -> Result<Limit, Failure> {
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(Failure::wrong(format!("a limit of {count} records: it must be from 1 to {COUNT_MAX}")));
        }
        if per < Duration::from_millis(1) || per > PER_MAX || !per.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(Failure::wrong("a window must be whole milliseconds, from 1ms to 366d").hint("like 500ms, 60s or 1h"));
        }
        Ok(Limit { count, per })
    }

    /// Reads `10/60s`.
    ///
    /// # Errors
    /// Status 2 when it is not a count, a slash and a span, or one of them is out of its range.
    pub fn parse(text: &str) -> Result<Limit, Failure> {
        let (count, per) = text
            .split_once('/')
            .ok_or_else(|| Failure::wrong(format!("'{text}' is no rate")).hint("a count and a span, like 10/60s or 100/1h"))?;
        Limit::new(parse_count(count.trim())?, time::span(per.trim())?)
    }

    /// So many records.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// In a window of this length.
    pub fn per(&self) -> Duration {
        self.per
    }

    /// The window in microseconds, in which its moments are counted.
    pub fn per_us(&self) -> i64 {
        // PER_MAX is 2^45 microseconds.
        i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX)
    }

    /// The same limit with another count.
    ///
    /// # Errors
    /// As [`Limit::new`].
    pub fn with_count(self, text: &str) -> Result<Limit, Failure> {
        Limit::new(parse_count(text)?, self.per)
    }

    /// The same limit with another window.
    ///
    /// # Errors
    /// As [`Limit::new`].
    pub fn with_per(self, text: &str) -> Result<Limit, Failure> {
        Limit::new(self.count, time::span(text)?)
    }
}

fn parse_count(text: &str) -> Result<u32, Failure> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or_else(|| Failure::wrong(format!("'{text}' is no count from 1 to {COUNT_MAX}")))
}

/// As people write it and [`Limit::parse`] reads it, in the longest unit that is whole: `10/1m`, `10/90s`, `10/1500ms`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_ms = self.per.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let (unit_ms, name) = units.into_iter().find(|(unit_ms, _)| per_ms.is_multiple_of(*unit_ms)).unwrap_or((1, "ms"));
        write!(f, "{}/{}{name}", self.count, per_ms / unit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_is_a_count_and_a_span() {
        assert_eq!(Limit::parse("10/60s"), Ok(Limit::DEFAULT));
        assert_eq!(Limit::parse("10 / 1m"), Ok(Limit::DEFAULT));
        for text in [
            "",
            "10",
            "10/",
            "/60s",
            "0/60s",
            "-1/60s",
            "+1/60s",
            "10/0s",
            "10/-1s",
            "10/60",
            "1.5/1s",
            "10/1us",
            "10/367d",
            "1000000001/1s",
        ] {
            let failure = Limit::parse(text).expect_err(text);
            assert_eq!(failure.exit.status(), 2, "{text}");
        }
    }

    #[test]
    fn a_span_is_shown_in_the_longest_unit_that_is_whole() {
        for (text, shown) in
            [("1/60s", "1/1m"), ("1/3600s", "1/1h"), ("1/90s", "1/90s"), ("1/1h30m", "1/90m"), ("1/48h", "1/2d"), ("1/1.5s", "1/1500ms")]
        {
            assert_eq!(Limit::parse(text).map(|limit| limit.to_string()), Ok(shown.to_string()));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(count in 1u32..=COUNT_MAX, per in 1u64..=366 * 24, unit_ms in prop::sample::select(vec![1u64, 1000, 60_000, 3_600_000])) {
            let limit = Limit::new(count, Duration::from_millis(per * unit_ms)).expect("in range");
            prop_assert_eq!(Limit::parse(&limit.to_string()), Ok(limit));
        }
    }
}
