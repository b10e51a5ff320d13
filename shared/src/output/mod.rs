//! What `-o` means: a table for people, JSON or YAML for programs, names for pipes.

mod table;
mod visible;

pub use table::table;

use serde::Serialize;

use crate::error::{Error, Result};

/// The form of the results on stdout. [`Format::Table`] is what comes without `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people. Not a value of `-o`, as in kubectl.
    #[default]
    #[value(skip)]
    Table,
    /// The table with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// One `kind/name` per line.
    Name,
}

impl Format {
    /// Whether a program reads the output, so that there is exactly one document on stdout.
    pub fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Writes a value as JSON or YAML, with a final line break. The other formats have no general form and are an error.
///
/// Characters that control a terminal, reorder text or draw nothing are written as escapes of the format: a program reads the
/// same value, and a person who looks at the document is not misled.
///
/// # Errors
/// A value that the format cannot express.
pub fn document<T: Serialize>(format: Format, value: &T) -> Result<String> {
    match format {
        Format::Json => visible::json(value).map_err(|error| Error::failed("cannot write JSON").caused_by(error)),
        Format::Yaml => visible::yaml(value).map_err(|error| Error::failed("cannot write YAML").caused_by(error)),
        other => Err(Error::failed(
            format!("a document cannot be written as {other:?}").to_lowercase(),
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use serde_json::json;

    #[test]
    fn the_values_of_o() {
        for (text, format) in [
            ("json", Format::Json),
            ("yaml", Format::Yaml),
            ("wide", Format::Wide),
            ("name", Format::Name),
        ] {
            assert_eq!(Format::from_str(text, false), Ok(format));
        }
        assert!(Format::from_str("table", false).is_err());
    }

    #[test]
    fn words_that_yaml_1_1_takes_for_booleans_are_quoted() {
        let text = document(Format::Yaml, &json!({"a": "on", "b": "y", "c": "1:20", "d": "x"})).unwrap();
        assert_eq!(text, "a: \"on\"\nb: \"y\"\nc: \"1:20\"\nd: x\n");
    }

    #[test]
    fn json_ends_its_line_and_escapes_control_characters() {
        assert_eq!(
            document(Format::Json, &json!({"a": "\x1b["})).unwrap(),
            "{\n  \"a\": \"\\u001b[\"\n}\n"
        );
        assert!(document(Format::Name, &json!({})).is_err());
    }
}
