//! Answers without `metadata.managedFields`, or with no more of them than a parser can bear.
//!
//! Whoever may change an object may write its `managedFields`, and nest them as deep as they like. A parser that bounds its
//! recursion refuses the whole answer then: one object of one tenant would end every list of its kind. They are most of the
//! text of many objects besides. So they are cut while the answer arrives, once, for every kind of request: single objects,
//! lists, watches, and what the server returns of a change.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use memchr::{memchr2, memmem};

/// What a client sees of `metadata.managedFields`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedFields {
    /// Nothing: the list is there and empty.
    LeftOut,
    /// Who has set what, without what lies deeper than [`DEEPEST`].
    Bounded,
}

/// So many levels of `fieldsV1` are kept. The deepest field of a kind of Kubernetes itself is 18 levels down; a parser gives up
/// after 128 levels of the whole answer.
pub const DEEPEST: usize = 64;

impl ManagedFields {
    /// The key and the bracket behind which is cut, as the API server writes them (`encoding/json`, without blanks), and how
    /// many levels behind it stay. A quote within a string is escaped, so this cannot be a part of a string.
    const fn cut(self) -> (&'static [u8], usize) {
        match self {
            Self::LeftOut => (b"\"managedFields\":[", 0),
            Self::Bounded => (b"\"fieldsV1\":{", DEEPEST),
        }
    }
}

/// An answer that is cut while it is read.
pub struct Trimmed<B> {
    body: B,
    /// Nothing for an answer that is no JSON.
    cutter: Option<Cutter>,
}

impl<B> Trimmed<B> {
    pub(super) fn new(body: B, fields: ManagedFields, is_json: bool) -> Self {
        Self {
            body,
            cutter: is_json.then(|| Cutter::new(fields)),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Trimmed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            let Some(cutter) = &mut self.cutter else {
                return Poll::Ready(frame);
            };
            let kept = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => cutter.push(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = cutter.rest();
                    self.cutter = None;
                    if rest.is_empty() {
                        return Poll::Ready(None);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
            };
            if !kept.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(kept))));
            }
        }
    }
}

/// The state between two pieces of an answer.
struct Cutter {
    key: memmem::Finder<'static>,
    levels: usize,
    /// The end of the last piece, as far as the key may begin there.
    held: BytesMut,
    inside: Option<Inside>,
}

/// Behind the key.
#[derive(Default)]
struct Inside {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Cutter {
    fn new(fields: ManagedFields) -> Self {
        let (key, levels) = fields.cut();
        Self {
            key: memmem::Finder::new(key),
            levels,
            held: BytesMut::new(),
            inside: None,
        }
    }

    /// What stays of the next piece. A piece without the key is handed on as it is.
    fn push(&mut self, piece: Bytes) -> Bytes {
        let piece = if self.held.is_empty() {
            piece
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(&piece);
            joined.freeze()
        };
        let mut kept = BytesMut::new();
        let mut from = 0;
        loop {
            if let Some(inside) = &mut self.inside {
                from += inside.pass(&piece[from..], self.levels, &mut kept);
                if inside.depth > 0 {
                    return kept.freeze();
                }
                self.inside = None;
            }
            let rest = &piece[from..];
            if let Some(found) = self.key.find(rest) {
                let end = found + self.key.needle().len();
                kept.extend_from_slice(&rest[..end]);
                // `\"managedFields":` ends a longer key.
                let is_whole = found == 0 || rest[found - 1] != b'\\';
                self.inside = is_whole.then(|| Inside {
                    depth: 1,
                    ..Inside::default()
                });
                from += end;
                continue;
            }
            let end = piece.len() - self.beginning(rest);
            self.held.extend_from_slice(&piece[end..]);
            if kept.is_empty() {
                return piece.slice(from..end);
            }
            kept.extend_from_slice(&piece[from..end]);
            return kept.freeze();
        }
    }

    /// How many bytes at the end may be the beginning of the key. The byte before it counts as well: a backslash there says
    /// that the key is longer.
    fn beginning(&self, text: &[u8]) -> usize {
        let key = self.key.needle();
        let longest = text.len().min(key.len() - 1);
        let begun = (1..=longest).rev().find(|n| text.ends_with(&key[..*n]));
        let before = usize::from(text.ends_with(b"\\"));
        begun.map_or(before, |n| (n + 1).min(text.len()))
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }
}

impl Inside {
    /// Reads on to the end of the value, keeping what is not too deep, and returns how many bytes were read.
    fn pass(&mut self, text: &[u8], levels: usize, kept: &mut BytesMut) -> usize {
        let mut at = 0;
        // The beginning of what is kept and not copied yet.
        let mut from = 0;
        while at < text.len() {
            if self.in_string {
                if std::mem::take(&mut self.escaped) {
                    at += 1;
                    continue;
                }
                let Some(found) = memchr2(b'"', b'\\', &text[at..]) else {
                    at = text.len();
                    break;
                };
                at += found + 1;
                match text[at - 1] {
                    b'"' => self.in_string = false,
                    _ => self.escaped = true,
                }
                continue;
            }
            at += 1;
            match text[at - 1] {
                b'"' => self.in_string = true,
                b'[' | b'{' => {
                    self.depth += 1;
                    if self.depth == levels + 1 {
                        kept.extend_from_slice(&text[from..at]);
                    }
                }
                b']' | b'}' => {
                    self.depth -= 1;
                    if self.depth == levels {
                        from = at - 1;
                    }
                    if self.depth == 0 {
                        break;
                    }
                }
                // A line of a watch ends here: this was no JSON, or not as the API server writes it.
                b'\n' => {
                    if self.depth > levels {
                        from = at - 1;
                    }
                    self.depth = 0;
                    break;
                }
                _ => {}
            }
        }
        if self.depth <= levels {
            kept.extend_from_slice(&text[from..at]);
        }
        at
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The text in pieces of this size.
    fn cut(text: &str, fields: ManagedFields, size: usize) -> String {
        let mut cutter = Cutter::new(fields);
        let mut kept = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            kept.extend_from_slice(&cutter.push(Bytes::copy_from_slice(piece)));
        }
        kept.extend_from_slice(&cutter.rest());
        String::from_utf8(kept).unwrap()
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "{\"f:a\":".repeat(depth) + "{}", "}".repeat(depth))
    }

    #[test]
    fn r44_managed_fields_are_left_out_wherever_a_piece_ends() {
        let deep = nested(500);
        let table = [
            (
                format!(
                    r#"{{"items":[{{"metadata":{{"name":"a","managedFields":[{{"manager":"x]}}\"[","fieldsV1":{deep}}}],"uid":"1"}}}},{{"b":"\\"}}]}}"#
                ),
                r#"{"items":[{"metadata":{"name":"a","managedFields":[],"uid":"1"}},{"b":"\\"}]}"#.to_owned(),
            ),
            (r#"{"managedFields":[]}"#.into(), r#"{"managedFields":[]}"#.into()),
            (
                r#"{"managedFields":null,"a":[1]}"#.into(),
                r#"{"managedFields":null,"a":[1]}"#.into(),
            ),
            // Two lines of a watch, and an end in the middle of the key.
            (
                "{\"managedFields\":[[1],[2]]}\n{\"managedFields\":[3]}\n\"manag".into(),
                "{\"managedFields\":[]}\n{\"managedFields\":[]}\n\"manag".into(),
            ),
            // In a string, and at the end of a longer key.
            (
                r#"{"a":"\"managedFields\":[1]"}"#.into(),
                r#"{"a":"\"managedFields\":[1]"}"#.into(),
            ),
            (
                r#"{"x\"managedFields":[1,2]}"#.into(),
                r#"{"x\"managedFields":[1,2]}"#.into(),
            ),
        ];
        for (text, expected) in table {
            for size in [1, 2, 3, 7, 16, 17, 18, 4096] {
                assert_eq!(cut(&text, ManagedFields::LeftOut, size), expected, "{size} {text:.80}");
            }
        }
    }

    #[test]
    fn r44_fields_are_kept_down_to_a_depth() {
        let entry = |depth| {
            format!(
                r#"{{"managedFields":[{{"fieldsV1":{},"manager":"x"}}],"z":1}}"#,
                nested(depth)
            )
        };
        for size in [1, 5, 4096] {
            let shallow = entry(DEEPEST - 1);
            assert_eq!(cut(&shallow, ManagedFields::Bounded, size), shallow);
            let kept: Value = serde_json::from_str(&cut(&entry(5_000), ManagedFields::Bounded, size)).unwrap();
            assert_eq!(kept["managedFields"][0]["manager"], "x");
            assert_eq!(kept["z"], 1);
            let mut level = &kept["managedFields"][0]["fieldsV1"];
            let mut depth = 0;
            while let Some(next) = level.get("f:a") {
                (level, depth) = (next, depth + 1);
            }
            assert_eq!((depth, level), (DEEPEST, &json!({})));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[a-z\\"\[\]{}:,]{0,8}"#;
        let key = prop_oneof![
            Just("managedFields".to_owned()),
            Just("fieldsV1".into()),
            text.prop_map(String::from)
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
            ]
        })
    }

    fn without(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(without),
            Value::Object(map) => map.iter_mut().for_each(|(key, value)| match value {
                Value::Array(items) if key == "managedFields" => items.clear(),
                value => without(value),
            }),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn r44_any_answer_in_any_pieces(mut value in value(), size in 1_usize..40) {
            let text = value.to_string();
            prop_assert_eq!(&cut(&text, ManagedFields::Bounded, size), &text);
            let kept: Value = serde_json::from_str(&cut(&text, ManagedFields::LeftOut, size)).unwrap();
            without(&mut value);
            prop_assert_eq!(kept, value);
        }
    }
}
