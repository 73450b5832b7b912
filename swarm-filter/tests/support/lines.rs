//! Random lines that are records or nearly so, and random conditions that some of them meet.

use jiff::Timestamp;
use swarm_filter::condition::Conditions;

/// splitmix64: what a test needs of chance, from a seed that proptest keeps and shrinks.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }
    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const TYPES: [&str; 7] = ["ACK", "INFO", "ack", "Info", "REVIEW-REQUEST", "ACKS", "\u{212a}"];
const IDS: [&str; 8] = ["a", "b", "agent-1", "Agent-1", "@all", "a,b", "\u{e4}", "a\\u0062"];
const THREADS: [&str; 4] = ["auth", "auth,login", "\u{1f600}", "a/b\"c"];
const CONTENTS: [&str; 8] = [
    "ok",
    "\"msg_type\":\"ACK\"",
    "line\nbreak \\ and \"quote\"",
    "\u{e4}\u{1f600} \u{202e} \u{0}",
    "{\"sender_id\":\"a\",\"recipients\":[\"@all\"]}",
    "",
    "a text that is longer than the widest register, so that it is walked in more than one step, and then some more of it",
    "ACK",
];
const TIMES: [&str; 9] = [
    "2026-11-23T08:00:00.000000Z",
    "2026-11-23T08:01:00.000000Z",
    "2026-11-23T08:01:00.000001Z",
    "2026-11-23T10:01:00.000000+02:00",
    "2026-11-23T08:01:00",
    "2026-11-23T08:02:00Z",
    "2026-11-31T08:02:00.000000Z",
    "2026-11-23",
    "soon",
];
const MSG_IDS: [&str; 5] =
    ["m1", "m2", "01997f6e-2b5a-7c3d-8e4f-012345a", "01997f6e-2b5a-7c3d-8e4f-0123456789ab", "01997f6e-2b5a-7c3d-8e4f-0123456789\u{e4}"];

/// A line without its newline.
pub fn line(chance: &mut Chance) -> Vec<u8> {
    let mut line = match chance.below(20) {
        0 => return bad(chance),
        1 => return chance.pick(&["", " ", "\r", "\t \r"]).as_bytes().to_vec(),
        2..=10 => canonical(chance),
        _ => odd(chance),
    };
    if chance.one_in(8) && !line.is_empty() {
        // As a bad disk, or a fuzzer, would.
        let at = chance.below(line.len());
        match chance.below(4) {
            0 => line.truncate(at),
            1 => drop(line.remove(at)),
            2 => line.insert(at, chance.pick(&["\"", "\\", "{", "}", ",", "\0", " ", "x", "u0041"]).as_bytes()[0]),
            _ => line[at] = u8::try_from(chance.below(256)).unwrap(),
        }
        line.retain(|byte| *byte != b'\n');
    }
    if chance.one_in(10) {
        line.push(b'\r');
    }
    line
}

/// No record at all.
fn bad(chance: &mut Chance) -> Vec<u8> {
    let deep = |n: usize| format!("{{\"msg_type\":\"ACK\",\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1)).into_bytes();
    match chance.below(10) {
        0 => b"\xef\xbb\xbf{}".to_vec(),
        1 => b"{\"msg_type\":\"ACK\",\"content\":\"\xff\"}".to_vec(),
        2 => br#"{"msg_type":"ACK","content":"\ud800"}"#.to_vec(),
        3 => deep(32),
        4 => deep(33),
        5 => b"[{}]".to_vec(),
        6 => b"{}{}".to_vec(),
        7 => format!("{{\"msg_type\":\"ACK\",\"content\":\"{}\"}}", "x".repeat(65_536 - 31 + chance.below(2))).into_bytes(),
        8 => vec![b' '; 65_536 + chance.below(2)],
        _ => b"no record".to_vec(),
    }
}

/// As the tools write it.
fn canonical(chance: &mut Chance) -> Vec<u8> {
    let mut text = format!(
        r#"{{"seq":{}{},"msg_id":"{}","timestamp":"{}","msg_type":"{}","sender_id":"{}","recipients":["#,
        if chance.one_in(12) { "0" } else { "" },
        chance.below(2000),
        // 36 bytes, but not the 36 characters that they look like.
        if chance.one_in(6) { r"01997f6e-2b5a-7c3d-8e4f-012345\u0061" } else { chance.pick(&MSG_IDS) },
        chance.pick(&TIMES[..6]),
        chance.pick(&TYPES[..5]),
        chance.pick(&IDS[..4]),
    );
    for n in 0..=chance.below(3) {
        text.push_str(if n == 0 { "" } else { "," });
        spell(chance, chance_id(n), false, &mut text);
    }
    text.push(']');
    if chance.one_in(2) {
        text.push_str(",\"requires_ack\":true");
    }
    for (key, pool) in [("reply_to", &MSG_IDS[..2]), ("thread", &THREADS), ("content", &CONTENTS)] {
        if key == "content" || chance.one_in(2) {
            text.push_str(&format!(",\"{key}\":"));
            let value = chance.pick(pool);
            spell(chance, value, false, &mut text);
        }
    }
    text.push('}');
    text.into_bytes()
}

fn chance_id(n: usize) -> &'static str {
    ["a", "b", "@all", "agent-1"][n]
}

/// The same record as somebody else would write it: any order, spacing and escapes, members missing, twice, or of any kind.
fn odd(chance: &mut Chance) -> Vec<u8> {
    let names = [
        "seq",
        "msg_id",
        "timestamp",
        "msg_type",
        "sender_id",
        "sender",
        "recipients",
        "requires_ack",
        "reply_to",
        "thread",
        "data",
        "content",
        "delivery_status",
        "MSG_TYPE",
    ];
    let mut keys: Vec<&str> = names.into_iter().filter(|_| !chance.one_in(3)).collect();
    for n in (1..keys.len()).rev() {
        keys.swap(n, chance.below(n + 1));
    }
    if chance.one_in(10) && !keys.is_empty() {
        keys.push(keys[chance.below(keys.len())]);
    }
    let escapes = chance.one_in(2);
    let mut text = String::new();
    space(chance, &mut text);
    text.push('{');
    for (n, key) in keys.into_iter().enumerate() {
        text.push_str(if n == 0 { "" } else { "," });
        space(chance, &mut text);
        let escapes_key = escapes && chance.one_in(4);
        spell(chance, key, escapes_key, &mut text);
        space(chance, &mut text);
        text.push(':');
        space(chance, &mut text);
        value(chance, key, escapes, &mut text);
        space(chance, &mut text);
    }
    text.push('}');
    space(chance, &mut text);
    text.into_bytes()
}

fn value(chance: &mut Chance, key: &str, escapes: bool, text: &mut String) {
    let pool: &[&str] = match key {
        _ if chance.one_in(25) => return text.push_str(chance.pick(&["null", "7", "-1.5e3", "true", "[]", "{}", "[\"a\",1]", "\"a\""])),
        "seq" => return text.push_str("12"),
        "requires_ack" => return text.push_str(chance.pick(&["true", "false"])),
        "data" | "delivery_status" => {
            return text.push_str(chance.pick(&[
                r#"{"msg_type":"ACK","sender_id":"a"}"#,
                r#"[{"a":{"a":[]}}]"#,
                r#"{"a":1,"\u0061":2}"#,
                "{ }",
            ]));
        }
        "recipients" => {
            text.push('[');
            for n in 0..chance.below(4) {
                text.push_str(if n == 0 { "" } else { "," });
                space(chance, text);
                let id = chance.pick(&IDS);
                spell(chance, id, escapes, text);
            }
            return text.push(']');
        }
        "msg_id" | "reply_to" => &MSG_IDS,
        "timestamp" => &TIMES,
        "msg_type" | "MSG_TYPE" => &TYPES,
        "sender_id" | "sender" => &IDS,
        "thread" => &THREADS,
        _ => &CONTENTS,
    };
    let value = chance.pick(pool);
    spell(chance, value, escapes, text);
}

fn space(chance: &mut Chance, text: &mut String) {
    if chance.one_in(6) {
        text.push_str(chance.pick(&[" ", "\t", "  ", " \r"]));
    }
}

/// A JSON string that says `what`; some characters have several spellings.
fn spell(chance: &mut Chance, what: &str, escapes: bool, text: &mut String) {
    text.push('"');
    for c in what.chars() {
        let short = match c {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '/' if escapes => Some("\\/"),
            _ => None,
        };
        match short {
            Some(short) if !escapes || chance.one_in(2) => text.push_str(short),
            None if c >= ' ' && !(escapes && chance.one_in(3)) => text.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                text.push_str(&if chance.one_in(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") });
            }),
        }
    }
    text.push('"');
}

/// Conditions that some of these lines meet: few at once, for all hardly ever hold together.
pub fn conditions(chance: &mut Chance) -> Conditions {
    let rarely = [2, 5, 5, 5, 6, 6, 8, 8, 4, 8, 8];
    let kept = rarely.iter().enumerate().fold(0, |kept, (n, rarely)| kept | u16::from(chance.one_in(*rarely)) << n);
    some_conditions(chance, kept)
}

/// Those of all conditions whose bit is set.
pub fn some_conditions(chance: &mut Chance, kept: u16) -> Conditions {
    fn some(chance: &mut Chance, is_kept: bool, from: &[&str]) -> Vec<String> {
        (0..=chance.below(2)).map(|_| chance.pick(from).to_string()).filter(|_| is_kept).collect()
    }
    let has = |n: u16| kept >> n & 1 == 1;
    let instant = |chance: &mut Chance, is_kept: bool, from: &[&str]| {
        let at = chance.pick(from).parse::<Timestamp>().unwrap();
        is_kept.then_some(at)
    };
    Conditions {
        types: some(chance, has(0), &TYPES[..6]),
        from: some(chance, has(1), &["a", "agent-1", "\u{e4}", "a\\u0062"]),
        to: some(chance, has(2), &["a", "b", "@all", "nobody", "Agent-1"]),
        agents: some(chance, has(3), &["a", "b", "@all", "nobody", "agent-1"]),
        since: instant(chance, has(4), &TIMES[..2]),
        until: instant(chance, has(5), &TIMES[1..4]),
        threads: some(chance, has(6), &THREADS),
        replies: some(chance, has(7), &MSG_IDS),
        ids: some(chance, has(8), &MSG_IDS),
        requires_ack: has(9),
        contains: some(chance, has(10), &["ACK", "\u{e4}", "\n", "\\", "o", "\0"]),
    }
}
