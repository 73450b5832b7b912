//! Spans (`30s`, `5m`, `1h30m`) and instants (RFC 3339, or a span ago), and the one form a timestamp is written in.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::exit::Failure;

/// Length of a timestamp as the tools write it: `2026-11-23T08:34:30.123456Z`.
pub const WRITTEN_LEN: usize = 27;

/// Reads a span in jiff's friendly format or ISO 8601. A negative one is refused; zero is the caller's to judge.
///
/// # Errors
/// Status 2, naming the text and an example, when it is no span.
pub fn span(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::wrong(format!("'{text}' is no span of time")).hint("like 30s, 5m, 1h30m or 2d");
    let (days, rest) = days(text);
    let rest = if rest.is_empty() && days > 0 { SignedDuration::ZERO } else { rest.parse::<SignedDuration>().map_err(|_| wrong())? };
    let whole = SignedDuration::from_secs(days.checked_mul(86_400).ok_or_else(wrong)?).checked_add(rest).ok_or_else(wrong)?;
    Duration::try_from(whole).map_err(|_| wrong())
}

/// A leading `2d` or `1w`, which jiff leaves out of absolute spans because a civil day need not have 24 hours; here it has.
fn days(text: &str) -> (i64, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let Ok(n) = text[..digits].parse::<i64>() else { return (0, text) };
    match text.as_bytes().get(digits) {
        Some(b'd') if !text[digits + 1..].starts_with(|c: char| c.is_ascii_alphabetic()) => (n, text[digits + 1..].trim_start()),
        Some(b'w') if !text[digits + 1..].starts_with(|c: char| c.is_ascii_alphabetic()) => match n.checked_mul(7) {
            Some(n) => (n, text[digits + 1..].trim_start()),
            None => (0, text),
        },
        _ => (0, text),
    }
}

/// Reads an instant from the command line: RFC 3339, a naive local time, a date, or a span before `now`.
///
/// # Errors
/// Status 2 when it is neither.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Some(at) = timestamp(text.as_bytes()) {
        return Ok(at);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && let Ok(at) = TimeZone::system().to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
    {
        return Ok(at);
    }
    let ago = span(text.strip_suffix(" ago").unwrap_or(text)).map_err(|_| {
        Failure::wrong(format!("'{text}' is no instant")).hint("like 2026-11-23T08:34:30Z, 2026-11-23, or a span ago: 10m, 2h, 1d")
    })?;
    // A span longer than the calendar means "from the beginning".
    Ok(SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok()).unwrap_or(Timestamp::MIN))
}

/// Reads the timestamp of a record: RFC 3339 with any offset, or the Python program's naive local time. `None` when it
/// is neither.
pub fn timestamp(text: &[u8]) -> Option<Timestamp> {
    if let Some(at) = written_utc(text) {
        return Some(at);
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    // Naive: what a clock on this machine's wall showed. In the hour that happens twice it is the first one.
    let has_time = text.len() > 10 && matches!(text.as_bytes()[10], b'T' | b't' | b' ');
    let naive = text.parse::<DateTime>().ok().filter(|_| has_time)?;
    TimeZone::system().to_timestamp(naive).ok()
}

/// The fast way for the form the tools write themselves. Anything else is `None`, and read the long way.
fn written_utc(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; WRITTEN_LEN] = text.try_into().ok()?;
    let number =
        |from: usize, to: usize| text[from..to].iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')));
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if marks.iter().any(|&(at, mark)| text[at] != mark) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, micros) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?);
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        // The last days of a month and the leap second are left to jiff, which knows them.
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Timestamp::new(seconds, i32::try_from(micros * 1000).ok()?).ok()
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The one form a timestamp is written in: UTC, six digits of fraction, `Z`.
pub fn write(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Now, cut to microseconds, so that what is written reads back as the same instant.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in
            [("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("1d 2h", 93_600), ("1w", 604_800), ("PT1M", 60), ("0s", 0)]
        {
            assert_eq!(span(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
        for text in ["", "5", "m", "-5m", "5 apples", "99999999999999999999d", "1mo"] {
            assert!(span(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn instants_are_absolute_or_a_span_ago() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a timestamp");
        assert_eq!(instant("10m", now).map(|t| t.to_string()), Ok("2026-11-23T11:50:00Z".into()));
        assert_eq!(instant("2026-11-23T10:00:00+02:00", now).map(|t| t.to_string()), Ok("2026-11-23T08:00:00Z".into()));
        assert_eq!(instant("20000000d", now), Ok(Timestamp::MIN));
        assert!(instant("yesterdayish", now).is_err());
    }

    #[test]
    fn a_naive_timestamp_of_the_python_program_is_local_time() {
        let at = timestamp(b"2026-11-23T19:14:37").expect("read");
        assert_eq!(TimeZone::system().to_datetime(at).to_string(), "2026-11-23T19:14:37");
        assert_eq!(timestamp(b"2026-11-23"), None, "a date alone is no timestamp");
    }

    proptest! {
        #[test]
        fn the_fast_way_agrees_with_jiff_and_reads_back_what_was_written(micros in -62_000_000_000_000_000i64..250_000_000_000_000_000) {
            let at = Timestamp::from_microsecond(micros).expect("in range");
            let text = write(at);
            if text.len() == WRITTEN_LEN && let Some(fast) = written_utc(text.as_bytes()) {
                prop_assert_eq!(fast, at);
            }
            prop_assert_eq!(timestamp(text.as_bytes()), Some(at));
        }

        #[test]
        fn any_27_bytes_are_read_alike_or_left_to_jiff(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z") {
            if let Some(fast) = written_utc(text.as_bytes()) {
                prop_assert_eq!(Ok(fast), text.parse::<Timestamp>().map_err(|e| e.to_string()));
            }
        }
    }
}
