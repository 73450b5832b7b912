use std::collections::HashSet;

use proptest::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::*;

/// The oracle: serde_json's parser, with the rules it lacks put on top by a visitor.
struct Strict(usize);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.0 > DEPTH_MAX {
            return Err(A::Error::custom("deep"));
        }
        while seq.next_element_seed(Strict(self.0 + 1))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.0 > DEPTH_MAX {
            return Err(A::Error::custom("deep"));
        }
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom("duplicate"));
            }
            map.next_value_seed(Strict(self.0 + 1))?;
        }
        Ok(())
    }
}

fn oracle(line: &[u8]) -> bool {
    if std::str::from_utf8(line).is_err() {
        return false;
    }
    let is_object = line.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let mut json = serde_json::Deserializer::from_slice(line);
    is_object && Strict(1).deserialize(&mut json).is_ok() && json.end().is_ok()
}

/// 1e999 is JSON, but serde_json has no number for it: there the oracle knows nothing.
fn oracle_knows(line: &[u8]) -> bool {
    !serde_json::from_slice::<serde_json::Value>(line).is_err_and(|e| e.to_string().contains("number out of range"))
}

fn kind(line: impl AsRef<[u8]>) -> Option<FaultKind> {
    Scanner::new().check(line.as_ref()).err().map(|fault| fault.kind)
}

#[test]
fn every_kind_of_bad_line_is_told_apart() {
    assert_eq!(kind("\u{feff}{}"), Some(FaultKind::Bom));
    assert_eq!(kind("[1]"), Some(FaultKind::NotObject));
    assert_eq!(kind("{}{}"), Some(FaultKind::Trailing));
    assert_eq!(kind(r#"{"a":"x"#), Some(FaultKind::Truncated));
    assert_eq!(kind("{\"a\":\"\t\"}"), Some(FaultKind::Control));
    assert_eq!(kind(r#"{"a":"\x"}"#), Some(FaultKind::Escape));
    assert_eq!(kind(r#"{"a":"\ud800"}"#), Some(FaultKind::LoneSurrogate));
    assert_eq!(kind(r#"{"a":"\udc00\ud800"}"#), Some(FaultKind::LoneSurrogate));
    assert_eq!(kind(r#"{"a":1,"\u0061":2}"#), Some(FaultKind::Duplicate("a".into())));
    assert_eq!(kind(r#"{"x":{"y":[{"a":1,"a":2}]}}"#), Some(FaultKind::Duplicate("a".into())));
    assert_eq!(kind(b"{\"a\":\"\xff\"}"), Some(FaultKind::NotUtf8));
    assert_eq!(kind("{'a':1}"), Some(FaultKind::Expected("a key in quotes")));
    assert_eq!(kind(r#"{"a":01}"#), Some(FaultKind::Expected("',' or '}'")));
    assert_eq!(kind(r#" { "a" : [ 1 , -2.5e+3 , true , null , "\u0000\ud83d\ude00" ] , "b" : {} } "#), None);
    assert_eq!(kind("{\"a\":1}\r"), None);
}

#[test]
fn depth_32_is_a_record_and_depth_33_is_not() {
    let nest = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
    assert_eq!(kind(nest(32)), None);
    assert_eq!(kind(nest(33)), Some(FaultKind::TooDeep));
    let braces = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    assert_eq!(kind(braces(32)), None);
    assert_eq!(kind(braces(33)), Some(FaultKind::TooDeep));
    assert_eq!(kind("{\"a\":".to_string() + &"[".repeat(100_000)), Some(FaultKind::TooDeep));
}

#[test]
fn a_duplicate_is_found_among_many_keys_too_and_in_bounded_time() {
    let many = |last: &str| {
        let keys: Vec<String> = (0..9_000).map(|n| format!("\"{n}\":0")).chain([format!("\"{last}\":0")]).collect();
        format!("{{{}}}", keys.join(","))
    };
    assert_eq!(kind(many("x")), None);
    assert_eq!(kind(many("5")), Some(FaultKind::Duplicate("5".into())));
    assert_eq!(kind(many("8999")), Some(FaultKind::Duplicate("8999".into())));
}

#[test]
fn a_walk_that_stops_looks_at_nothing_behind() {
    let mut seen = Vec::new();
    let whole = Scanner::new().members(br#"{"a":1,"b":2,"b":garbage"#, |key, _| {
        seen.push(key.text().into_owned());
        if key.is(b"b") { Walk::Stop } else { Walk::On }
    });
    assert_eq!((whole, seen), (Ok(false), vec!["a".to_string(), "b".to_string()]));
}

#[test]
fn canonical_writing_takes_out_white_space_and_escapes_what_a_terminal_would_obey() {
    let mut out = Vec::new();
    write_canonical("{ \"b\" : [ 1 , \"\u{9b}\\u0041\\/\" ] }".as_bytes(), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), r#"{"b":[1,"\u009bA/"]}"#);
}

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\\",
        "\\u",
        "d83d",
        "\\ude00",
        "1",
        "-",
        "0",
        ".5",
        "e9",
        "true",
        "null",
        " ",
        "\t",
        "\r",
        "ü",
        "\u{1}",
        "long enough to leave one register and a wider one behind \u{7f}",
        "\"k\":",
        "{\"a\":1}",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|p| p.concat().into_bytes())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..20).prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn it_accepts_exactly_what_the_oracle_accepts(line in json_like()) {
        if oracle_knows(&line) {
            prop_assert_eq!(Scanner::new().check(&line).is_ok(), oracle(&line), "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn what_is_special_in_a_string_is_found_where_a_look_at_each_byte_finds_it(
        line in prop::collection::vec(prop_oneof![20 => any::<u8>().prop_map(|b| b | 0x80), 60 => Just(b'x'), 1 => 0u8..0x24, 1 => Just(b'\\')], 0..150),
        at in any::<prop::sample::Index>(),
    ) {
        let is_special = |b: &u8| matches!(b, b'"' | b'\\' | 0..=0x1f);
        let at = at.index(line.len() + 1);
        prop_assert_eq!(skip_plain(&line, at), line[at..].iter().position(is_special).map_or(line.len(), |n| at + n));
        prop_assert_eq!(is_plain(&line[at..]), !line[at..].iter().any(is_special));
    }

    #[test]
    fn a_good_record_with_a_byte_changed_is_judged_as_the_oracle_does(v in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = serde_json::to_vec(&serde_json::json!({ "k": v })).expect("JSON");
        prop_assert!(Scanner::new().check(&line).is_ok());
        let at = at.index(line.len());
        line[at] = byte;
        if !line.contains(&b'\n') && oracle_knows(&line) {
            prop_assert_eq!(Scanner::new().check(&line).is_ok(), oracle(&line), "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn what_it_decodes_and_writes_is_what_serde_json_reads(v in value()) {
        let line = serde_json::to_string_pretty(&serde_json::json!({ "k": v })).expect("JSON");
        let mut out = Vec::new();
        write_canonical(line.as_bytes(), &mut out);
        let back: serde_json::Value = serde_json::from_slice(&out).expect("canonical JSON");
        let first: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        prop_assert_eq!(back, first);
        let mut nested = Vec::new();
        Scanner::new().members(line.as_bytes(), |_, value| {
            nested.extend(value.items().map(|item| item.kind()));
            Walk::On
        }).expect("a record");
        let count = v.as_array().map_or(0, Vec::len);
        prop_assert_eq!(nested.len(), count);
    }
}

#[test]
fn a_string_knows_where_it_stands_in_its_line() {
    let line = br#" {"a":[1,"x"], "\u0062" : "cd"}"#;
    let mut found = Vec::new();
    let whole = Scanner::new().members(line, |key, value| {
        let text = |string: Str<'_>| String::from_utf8_lossy(&line[string.range_in(line)]).into_owned();
        found.push(text(key));
        if let Value::String(string) = value {
            found.push(text(string));
        }
        Walk::On
    });
    assert_eq!((whole, found.join(" ").as_str()), (Ok(true), r"a \u0062 cd"));
}
