//! One object, written member by member.

use std::fmt::Display;
use std::io::Write as _;

use jiff::Timestamp;

use super::write_string;
use crate::time;

/// An object that is being written; without white space, its members in the order in which they are added.
#[derive(Debug)]
pub struct Object(Vec<u8>);

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    /// One without members.
    pub fn new() -> Object {
        // Most fit: to grow step by step was a tenth of the time of a long list.
        Object::in_room(Vec::with_capacity(512))
    }

    /// One that is written behind what is there.
    pub fn in_room(mut room: Vec<u8>) -> Object {
        room.push(b'{');
        Object(room)
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A string as it stands between its quotes.
    #[must_use]
    pub fn raw(mut self, name: &str, text: &[u8]) -> Object {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
        self
    }

    /// A string; left out where it is empty.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Object {
        if !text.is_empty() {
            self.name(name);
            write_string(text, &mut self.0);
        }
        self
    }

    /// A number or a boolean; left out where there is none.
    #[must_use]
    pub fn plain(mut self, name: &str, value: Option<impl Display>) -> Object {
        if let Some(value) = value {
            self.name(name);
            // A Vec takes all that is written to it.
            let _ = write!(self.0, "{value}");
        }
        self
    }

    /// An instant; left out where there is none.
    #[must_use]
    pub fn time(self, name: &str, at: Option<Timestamp>) -> Object {
        self.text(name, &at.map(time::write).unwrap_or_default())
    }

    /// A list of strings, an empty one too.
    #[must_use]
    pub fn list<'a>(mut self, name: &str, texts: impl IntoIterator<Item = &'a str>) -> Object {
        self.name(name);
        self.0.push(b'[');
        for (n, text) in texts.into_iter().enumerate() {
            if n > 0 {
                self.0.push(b',');
            }
            write_string(text, &mut self.0);
        }
        self.0.push(b']');
        self
    }

    /// A value as it stands.
    #[must_use]
    pub fn json(mut self, name: &str, value: &[u8]) -> Object {
        self.name(name);
        self.0.extend_from_slice(value);
        self
    }

    /// Members as they stand, with their names.
    #[must_use]
    pub fn members(mut self, members: &[u8]) -> Object {
        self.0.extend_from_slice(members);
        self
    }

    /// An object in it; left out where there is none.
    #[must_use]
    pub fn object(mut self, name: &str, object: Option<Object>) -> Object {
        if let Some(object) = object {
            self.name(name);
            self.0.extend_from_slice(&object.end());
        }
        self
    }

    /// The text.
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_their_order_and_what_does_not_apply_is_left_out() {
        let inner = Object::new().plain("pid", Some(7)).text("start", "");
        let object = Object::new()
            .text("id", "a\"\u{1b}")
            .plain("no", None::<u8>)
            .time("at", Some(Timestamp::UNIX_EPOCH))
            .list("groups", ["b", "c"])
            .list("none", [])
            .object("process", Some(inner))
            .object("server", None)
            .raw("raw", b"\\n")
            .end();
        let want = r#"{"id":"a\"\u001b","at":"1970-01-01T00:00:00.000000Z","groups":["b","c"],"none":[],"process":{"pid":7},"raw":"\n"}"#;
        assert_eq!(String::from_utf8(object).unwrap(), want);
        assert_eq!(Object::new().end(), b"{}");
    }
}
