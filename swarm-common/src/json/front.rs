//! The front of a canonical record (DESIGN 2), read without the scanner: `{"seq":1,"msg_id":"..","timestamp":"..",...`. Most lines of a
//! journal are dropped by what stands there, so it is the hot path of those who select. Where a line is written in any other way it says
//! nothing, and the scanner looks; where it says something, the scanner would have said the same (those who use it compare them in tests).

use super::{is_plain, skip_plain};

/// How far a line was read.
pub struct Front<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Front<'a> {
    /// Behind the first member, `seq`.
    #[inline]
    pub fn new(line: &'a [u8]) -> Option<Self> {
        const LEAD: &[u8] = b"{\"seq\":";
        let digits = line.strip_prefix(LEAD)?;
        // No number but 0 begins with 0: that one is left to the scanner.
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0 && digits[0] != b'0').then_some(Self { line, at: LEAD.len() + count })
    }

    /// What the string says that `lead` leads to, where it says it without escapes.
    #[inline]
    pub fn string(&mut self, lead: &[u8]) -> Option<&'a [u8]> {
        let start = self.at + lead.len();
        if self.line.get(self.at..start)? != lead {
            return None;
        }
        let end = skip_plain(self.line, start);
        (self.line.get(end) == Some(&b'"')).then(|| {
            self.at = end + 1;
            &self.line[start..end]
        })
    }

    /// The same for a string that is mostly of one length: nothing has to be searched then.
    #[inline]
    pub fn string_of<const LEN: usize>(&mut self, lead: &[u8]) -> Option<&'a [u8]> {
        let start = self.at + lead.len();
        let line = self.line;
        if line.get(self.at..start)? != lead {
            return None;
        }
        if let Some(text) = line[start..].first_chunk::<LEN>()
            && line.get(start + LEN) == Some(&b'"')
            && is_plain(text)
        {
            self.at = start + LEN + 1;
            return Some(text);
        }
        self.string(lead)
    }

    /// True if `byte` comes next, which is then read.
    #[inline]
    pub fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.line.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }
}
