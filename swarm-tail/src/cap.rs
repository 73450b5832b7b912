//! How much one read may print. It only counts.

use crate::inbox::Run;

/// What may still be printed.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    records_left: u64,
    bytes_left: u64,
    is_first: bool,
}

impl Cap {
    /// At most so many records and bytes; `None` is no limit.
    pub fn new(records_max: Option<u64>, bytes_max: Option<u64>) -> Cap {
        Cap { records_left: records_max.unwrap_or(u64::MAX), bytes_left: bytes_max.unwrap_or(u64::MAX), is_first: true }
    }

    /// Nothing more may be printed.
    pub fn is_reached(&self) -> bool {
        self.records_left == 0
    }

    /// Cuts the runs of these lines to what may be printed. The seq of the first record of theirs that may not, if there is one.
    pub fn cut(&mut self, lines: &[u8], runs: &mut Vec<Run>) -> Option<u64> {
        for (n, run) in runs.iter_mut().enumerate() {
            let bytes = &lines[run.bytes.clone()];
            let length = self.take(bytes, run.count);
            if length < bytes.len() {
                run.bytes.end = run.bytes.start + length;
                run.count = memchr::memchr_iter(b'\n', &bytes[..length]).count() as u64;
                let (end_seq, is_empty) = (run.end_seq(), length == 0);
                runs.truncate(if is_empty { n } else { n + 1 });
                return Some(end_seq);
            }
        }
        None
    }

    /// Takes what may be printed of these `count` lines, and gives back its length in bytes. Of the first line the bytes are not
    /// counted against the limit, or a reader with a cursor would never get past it.
    pub fn take(&mut self, lines: &[u8], count: u64) -> usize {
        if count <= self.records_left && lines.len() as u64 <= self.bytes_left {
            self.records_left -= count;
            self.bytes_left -= lines.len() as u64;
            self.is_first &= count == 0;
            return lines.len();
        }
        let mut taken = 0;
        for newline in memchr::memchr_iter(b'\n', lines) {
            if self.records_left == 0 {
                break;
            }
            let length = (newline + 1 - taken) as u64;
            if length > self.bytes_left && !self.is_first {
                self.records_left = 0;
                break;
            }
            self.is_first = false;
            self.records_left -= 1;
            self.bytes_left = self.bytes_left.saturating_sub(length);
            taken = newline + 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_on_records_ends_exactly_behind_the_last_one() {
        let mut cap = Cap::new(Some(3), None);
        assert_eq!((cap.take(b"a\nb\n", 2), cap.is_reached()), (4, false));
        assert_eq!((cap.take(b"c\nd\n", 2), cap.is_reached()), (2, true));
        assert_eq!(cap.take(b"e\n", 1), 0);
        assert!(Cap::new(Some(0), None).is_reached());
    }

    #[test]
    fn a_cap_on_bytes_ends_before_the_record_that_would_pass_it_though_a_shorter_one_follows() {
        let mut cap = Cap::new(None, Some(5));
        assert_eq!((cap.take(b"a\nbbb\nc\n", 3), cap.is_reached()), (2, true));
        let mut cap = Cap::new(None, Some(6));
        assert_eq!((cap.take(b"a\nbbb\n", 2), cap.is_reached()), (6, false));
        assert_eq!((cap.take(b"\n", 1), cap.is_reached()), (0, true));
    }

    #[test]
    fn the_first_record_goes_whatever_its_size_and_no_second_one() {
        let mut cap = Cap::new(None, Some(3));
        assert_eq!((cap.take(b"large\na\n", 2), cap.is_reached()), (6, true));
    }
}
