//! A strict scanner for one record: one JSON object of the size and shape that DESIGN 7 allows. It reads a line once,
//! from left to right, allocates nothing for it, and can stop as soon as its caller has seen enough.
//!
//! Own code, because it is the hot path of every stream and because no library refuses all that a record may not be:
//! serde_json's `RawValue` lets duplicate keys and a depth of 200,000 through (measured). serde_json is its oracle in the
//! tests and in `fuzz/`.

mod front;
mod object;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

// musl's memcmp goes byte by byte.
use memchr::arch::all::is_equal;

use crate::text;

pub use front::Front;
pub use object::Object;
pub use write::{write_canonical, write_string};

/// How deep a record may nest; its own braces are 1 (DESIGN 2).
pub const DEPTH_MAX: usize = 32;

/// Why a line is no record, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset in the line.
    pub at: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It starts with a byte order mark.
    Bom,
    /// It is JSON, or something else, but not one object.
    NotObject,
    /// Not JSON: what was expected.
    Expected(&'static str),
    /// It ends before the object does.
    Truncated,
    /// There is more after the object.
    Trailing,
    /// A control character stands raw in a string.
    Control,
    /// `\x` that JSON does not know.
    Escape,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// A key stands twice in one object.
    Duplicate(String),
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Bom => write!(f, "starts with a byte order mark"),
            FaultKind::NotObject => write!(f, "not one JSON object"),
            FaultKind::Expected(what) => write!(f, "not JSON: expected {what} at byte {}", self.at + 1),
            FaultKind::Truncated => write!(f, "not JSON: the line ends inside the object"),
            FaultKind::Trailing => write!(f, "not one JSON object: more follows at byte {}", self.at + 1),
            FaultKind::Control => write!(f, "not JSON: a raw control character at byte {}", self.at + 1),
            FaultKind::Escape => write!(f, "not JSON: an unknown escape at byte {}", self.at + 1),
            FaultKind::LoneSurrogate => write!(f, "half a surrogate pair at byte {}", self.at + 1),
            FaultKind::Duplicate(key) => {
                write!(f, "duplicate key \"{}\" at byte {}", text::excerpt(key.as_bytes(), 40), self.at + 1)
            }
            FaultKind::TooDeep => write!(f, "nested deeper than {DEPTH_MAX} at byte {}", self.at + 1),
            FaultKind::NotUtf8 => write!(f, "not UTF-8 at byte {}", self.at + 1),
        }
    }
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Str<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Str<'a> {
    /// The string that says exactly this; it has to have nothing in it that JSON escapes.
    pub fn plain(raw: &'a [u8]) -> Self {
        Str { raw, escaped: false }
    }

    /// What the string says. UTF-8 only once the whole line was walked.
    pub fn decode(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        self.unescape_into(&mut out);
        Cow::Owned(out)
    }

    /// The same in `room`, where it has to be decoded at all: nothing is allocated once `room` is large enough.
    #[inline]
    pub fn decode_in<'b>(&self, room: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.escaped {
            return self.raw;
        }
        room.clear();
        self.unescape_into(room);
        room
    }

    fn unescape_into(&self, out: &mut Vec<u8>) {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let (c, len) = unescape(&rest[at..]);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[at + len..];
        }
        out.extend_from_slice(rest);
    }

    /// What the string says, as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        match self.decode() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Where it stands, between its quotes, in the line that it was scanned from.
    pub fn range_in(&self, line: &[u8]) -> Range<usize> {
        let start = self.raw.as_ptr().addr().saturating_sub(line.as_ptr().addr());
        start..start + self.raw.len()
    }

    /// True if the string says exactly this.
    #[inline]
    pub fn is(&self, text: &[u8]) -> bool {
        if self.escaped { self.decode().as_ref() == text } else { is_equal(self.raw, text) }
    }

    /// True if the string says this, ASCII letters compared without regard to case.
    pub fn is_ignoring_case(&self, text: &[u8]) -> bool {
        if self.escaped { self.decode().eq_ignore_ascii_case(text) } else { self.raw.eq_ignore_ascii_case(text) }
    }
}

/// One escape sequence of a string that was scanned: the character and how many bytes it took.
fn unescape(bytes: &[u8]) -> (char, usize) {
    let simple = |c| (c, 2);
    match bytes.get(1) {
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'u') => {
            let high = hex4(bytes, 2).unwrap_or(0xfffd);
            if (0xd800..0xdc00).contains(&high) {
                let low = hex4(bytes, 8).unwrap_or(0xdc00);
                let code = 0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                return (char::from_u32(code).unwrap_or('\u{fffd}'), 12);
            }
            (char::from_u32(high).unwrap_or('\u{fffd}'), 6)
        }
        Some(&c) => simple(char::from(c)),
        None => ('\u{fffd}', 1),
    }
}

/// Four hexadecimal digits.
fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0u32, |n, &b| Some(n * 16 + char::from(b).to_digit(16)?))
}

/// A value, scanned but not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    String(Str<'a>),
    /// A number, as it stands.
    Number(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An array, brackets included.
    Array(&'a [u8]),
    /// An object, braces included.
    Object(&'a [u8]),
}

impl<'a> Value<'a> {
    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Number(_) => "a number",
            Value::Bool(_) => "a boolean",
            Value::Null => "null",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// A number that is a whole number from 0 to 2^64-1, written plainly.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Number(raw) => std::str::from_utf8(raw).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array; nothing for any other kind.
    pub fn items(&self) -> Items<'a> {
        let inner = match self {
            Value::Array(raw) => &raw[1..raw.len() - 1],
            _ => &[],
        };
        Items { walk: Cursor { line: inner, at: 0 }, keys: Vec::new() }
    }
}

/// The elements of an array that was scanned.
pub struct Items<'a> {
    walk: Cursor<'a>,
    keys: Vec<Key>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.walk.skip_space();
        if self.walk.peek() == Some(b',') {
            self.walk.at += 1;
            self.walk.skip_space();
        }
        self.walk.peek()?;
        // Depth was judged when the line was scanned.
        self.walk.value(1, &mut self.keys).ok()
    }
}

/// Whether to go on to the next member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Go on.
    On,
    /// Seen enough: what follows is not looked at.
    Stop,
}

/// Where a key stands in the line: start, end, has escapes.
#[derive(Clone, Copy)]
struct Key {
    start: u32,
    end: u32,
    escaped: bool,
}

impl Key {
    fn of<'a>(self, line: &'a [u8]) -> Str<'a> {
        Str { raw: &line[self.start as usize..self.end as usize], escaped: self.escaped }
    }
}

/// Up to this many keys are compared pair by pair; an object with more is sorted once, at its end.
const PAIRWISE_MAX: usize = 16;

/// The scanner, with the room it needs, so that a stream of lines allocates once.
#[derive(Default)]
pub struct Scanner {
    keys: Vec<Key>,
}

impl Scanner {
    /// A scanner.
    pub fn new() -> Self {
        Self::default()
    }

    /// Walks the members of the object that `line` is (without its newline), handing each key and value to `visit`. True if the
    /// walk went to the end: then the whole line is known to be a good record. After [`Walk::Stop`] only what was
    /// handed over is known, and not yet that it is UTF-8.
    ///
    /// # Errors
    /// The first fault met.
    #[inline]
    pub fn members<'a>(&mut self, line: &'a [u8], mut visit: impl FnMut(Str<'a>, Value<'a>) -> Walk) -> Result<bool, Fault> {
        self.keys.clear();
        let mut walk = Cursor { line, at: 0 };
        if line.starts_with(b"\xef\xbb\xbf") {
            return Err(walk.fault(FaultKind::Bom));
        }
        walk.skip_space();
        if walk.peek() != Some(b'{') {
            return Err(walk.fault(FaultKind::NotObject));
        }
        if !walk.object(1, &mut self.keys, &mut visit)? {
            return Ok(false);
        }
        walk.skip_space();
        if walk.at < line.len() {
            return Err(walk.fault(FaultKind::Trailing));
        }
        if !line.is_ascii()
            && let Err(error) = std::str::from_utf8(line)
        {
            return Err(Fault { at: error.valid_up_to(), kind: FaultKind::NotUtf8 });
        }
        Ok(true)
    }

    /// Whether the whole line is a good record.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.members(line, |_, _| Walk::On).map(|_| ())
    }
}

/// True if there is nothing on the line but JSON's white space.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        Fault { at: self.at, kind }
    }

    fn expected(&self, what: &'static str) -> Fault {
        self.fault(if self.at >= self.line.len() { FaultKind::Truncated } else { FaultKind::Expected(what) })
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// From the `{` to behind the `}`; false if the visitor stopped the walk.
    #[inline]
    fn object(&mut self, depth: usize, keys: &mut Vec<Key>, visit: &mut impl FnMut(Str<'a>, Value<'a>) -> Walk) -> Result<bool, Fault> {
        if depth > DEPTH_MAX {
            return Err(self.fault(FaultKind::TooDeep));
        }
        let base = keys.len();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(true);
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in quotes"));
            }
            let start = self.at + 1;
            let key = self.string()?;
            // A line is at most 64 KiB; should a caller hand over more, the positions still have to fit.
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            if keys.len() - base < PAIRWISE_MAX && keys[base..].iter().any(|&earlier| same(earlier.of(self.line), key)) {
                return Err(Fault { at: start - 1, kind: FaultKind::Duplicate(key.text().into_owned()) });
            }
            keys.push(Key { start: place(start), end: place(self.at - 1), escaped: key.escaped });
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.expected("':'"));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1, keys)?;
            if visit(key, value) == Walk::Stop {
                return Ok(false);
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.expected("',' or '}'")),
            }
            self.skip_space();
        }
        if keys.len() - base > PAIRWISE_MAX {
            self.no_duplicates(&keys[base..])?;
        }
        self.at += 1;
        keys.truncate(base);
        Ok(true)
    }

    fn no_duplicates(&self, keys: &[Key]) -> Result<(), Fault> {
        let mut sorted: Vec<(Cow<'_, [u8]>, u32)> = keys.iter().map(|key| (key.of(self.line).decode(), key.start)).collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => {
                Err(Fault { at: pair[1].1 as usize - 1, kind: FaultKind::Duplicate(String::from_utf8_lossy(&pair[1].0).into_owned()) })
            }
            None => Ok(()),
        }
    }

    /// One value; `depth` is what it would have as an object or array.
    #[inline]
    fn value(&mut self, depth: usize, keys: &mut Vec<Key>) -> Result<Value<'a>, Fault> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => {
                self.nested(depth, keys)?;
                Ok(Value::Object(&self.line[start..self.at]))
            }
            Some(b'[') => {
                self.array(depth, keys)?;
                Ok(Value::Array(&self.line[start..self.at]))
            }
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    /// An object below the top, its members looked at by nobody. Apart from [`Cursor::object`]'s inlined top level, so
    /// that the recursion has one closure type and ends.
    #[inline(never)]
    fn nested(&mut self, depth: usize, keys: &mut Vec<Key>) -> Result<(), Fault> {
        let nobody: &mut dyn FnMut(Str<'a>, Value<'a>) -> Walk = &mut |_, _| Walk::On;
        self.object(depth, keys, &mut { nobody }).map(|_| ())
    }

    #[inline(never)]
    fn array(&mut self, depth: usize, keys: &mut Vec<Key>) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(self.fault(FaultKind::TooDeep));
        }
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1, keys)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.expected("',' or ']'")),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &'static [u8], value: Value<'a>) -> Result<Value<'a>, Fault> {
        if !self.line[self.at..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(&self.line[start..self.at]))
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// From the opening quote to behind the closing one.
    #[inline]
    fn string(&mut self) -> Result<Str<'a>, Fault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = skip_plain(self.line, self.at);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.line[start..self.at];
                    self.at += 1;
                    return Ok(Str { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault(FaultKind::Control)),
                None => return Err(self.fault(FaultKind::Truncated)),
            }
        }
    }

    /// From the backslash to behind the escape sequence.
    fn escape(&mut self) -> Result<(), Fault> {
        match self.line.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = hex4(self.line, self.at + 2).ok_or_else(|| self.fault(FaultKind::Escape))?;
                match unit {
                    0xd800..=0xdbff => {
                        let low = match self.line.get(self.at + 6..self.at + 8) {
                            Some(b"\\u") => hex4(self.line, self.at + 8),
                            _ => None,
                        };
                        if !low.is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) {
                            return Err(self.fault(FaultKind::LoneSurrogate));
                        }
                        self.at += 12;
                    }
                    0xdc00..=0xdfff => return Err(self.fault(FaultKind::LoneSurrogate)),
                    _ => self.at += 6,
                }
            }
            Some(_) => return Err(self.fault(FaultKind::Escape)),
            None => return Err(Fault { at: self.line.len(), kind: FaultKind::Truncated }),
        }
        Ok(())
    }
}

#[inline]
fn same(a: Str<'_>, b: Str<'_>) -> bool {
    if a.escaped || b.escaped { a.decode() == b.decode() } else { is_equal(a.raw, b.raw) }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first position at or after `at` of a quote, a backslash or a control character; the length if there is none.
///
/// Eight bytes at a time in one register ("Bit Twiddling Hacks", determine if a word has a byte less than n / equal to n): the lowest
/// marked byte is always a true one. Ids and keys are too short for wider registers to pay; for long contents four words a
/// round let the compiler use them.
#[inline]
fn skip_plain(line: &[u8], mut at: usize) -> usize {
    // Keys and the ids of agents end here.
    if let Some(found) = special_in_words(line, at, 2) {
        return found;
    }
    at += line.len().saturating_sub(at).min(16) & !7;
    while let Some(chunk) = line[at..].first_chunk::<32>() {
        let special = chunk.iter().fold(0u8, |any, &b| any | u8::from(b == b'"') | u8::from(b == b'\\') | u8::from(b < 0x20));
        if special != 0 {
            break;
        }
        at += 32;
    }
    if let Some(found) = special_in_words(line, at, 4) {
        return found;
    }
    at += line.len().saturating_sub(at).min(32) & !7;
    while at < line.len() && !matches!(line[at], b'"' | b'\\' | 0..=0x1f) {
        at += 1;
    }
    at
}

/// Where the first of them stands in the next `count` words of `line`.
#[inline]
fn special_in_words(line: &[u8], at: usize, count: usize) -> Option<usize> {
    let words = line[at..].as_chunks::<8>().0.iter().take(count);
    let (n, found) = words.map(|word| marks(u64::from_le_bytes(*word))).enumerate().find(|(_, found)| *found != 0)?;
    Some(at + n * 8 + (found.trailing_zeros() / 8) as usize)
}

/// True if none of them stands in `text`: cheaper than to search, where the length is known.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else { return skip_plain(text, 0) == text.len() };
    // The last word may overlap the one before.
    let words = text.as_chunks::<8>().0.iter().chain([last]);
    words.fold(0, |any, word| any | marks(u64::from_le_bytes(*word))) == 0
}

/// The highest bit of each byte that is a quote, a backslash or a control character; what is above the lowest of them may be false.
#[inline]
fn marks(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_slash = slash.wrapping_sub(ONES) & !slash;
    (below | is_quote | is_slash) & HIGHS
}

#[cfg(test)]
mod tests;
