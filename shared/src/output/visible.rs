//! Documents without hidden characters: each is written as an escape of its format.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ui::is_hidden;

/// JSON over several lines, with a final line break.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    // Between its strings JSON has no hidden characters but line breaks.
    Ok(replaced(&pretty(value)?, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }))
}

/// YAML, with a final line break. Only double-quoted scalars can have escapes, so a document with hidden characters is written
/// in flow style, which has nothing else. Its first line tells kubectl that it is not JSON, which has no `\U`.
pub(super) fn yaml<T: Serialize>(value: &T) -> Result<String, Box<dyn std::error::Error>> {
    let block = serde_yaml::to_string(value)?;
    if !block.chars().any(needs_escape) {
        return Ok(block);
    }
    Ok(replaced(&format!("---\n{}", pretty(value)?), |c, out| {
        let _ = match u32::from(c) {
            code @ ..=0xffff => write!(out, "\\u{code:04x}"),
            code => write!(out, "\\U{code:08x}"),
        };
    }))
}

fn pretty<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

fn needs_escape(c: char) -> bool {
    c != '\n' && is_hidden(c)
}

/// Writing to a String cannot fail, so `write` need not look.
fn replaced(text: &str, write: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if needs_escape(c) {
            write(c, &mut out);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn r50_what_is_hidden_becomes_an_escape() {
        let hostile = json!({"a": "\u{9b}2J\u{7f}", "b\u{200b}": "\u{202e}\u{e0041}"});
        let expected = r#"{
  "a": "\u009b2J\u007f",
  "b\u200b": "\u202e\udb40\udc41"
}
"#;
        assert_eq!(json(&hostile).unwrap(), expected);
        let expected = format!("---\n{}", expected.replace(r"\udb40\udc41", r"\U000e0041"));
        assert_eq!(yaml(&hostile).unwrap(), expected);
    }

    #[test]
    fn r50_block_style_stays_where_nothing_is_hidden() {
        #[derive(Serialize)]
        struct Document {
            z: &'static str,
            a: u8,
        }
        assert_eq!(yaml(&Document { z: "x", a: 1 }).unwrap(), "z: x\na: 1\n");
    }

    proptest! {
        #[test]
        fn r50_documents_have_nothing_hidden_and_read_back(
            key in "[\\p{Cc}\\p{Cf}a: ]{0,8}",
            text in "[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}a\"'\\\\:#é \n-]{0,24}|\\PC*|.*",
        ) {
            let value = json!({ &key: [&text, { "x": &text }], "k": &text });
            let form = json(&value).unwrap();
            prop_assert!(!form.chars().any(needs_escape), "{}", form);
            prop_assert_eq!(&serde_json::from_str::<Value>(&form).unwrap(), &value);
            let form = yaml(&value).unwrap();
            prop_assert!(!form.chars().any(needs_escape), "{}", form);
            prop_assert_eq!(serde_yaml::from_str::<Value>(&form).unwrap(), value, "{}", form);
        }
    }
}
