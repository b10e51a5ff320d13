//! Tables with kubectl's look.

use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

/// A table: three blanks between the columns, no borders, no blanks at the ends of lines, and no final line break. Cells may
/// carry colours; line breaks in them are shown as `\n`, because a row is a line.
pub fn table(headers: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut builder = Builder::default();
    builder.push_record(headers.iter().map(|header| (*header).to_owned()));
    for row in rows {
        builder.push_record(
            row.into_iter()
                .map(|cell| cell.replace('\n', "\\n").replace('\r', "\\r")),
        );
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 3, 0, 0));
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn it_looks_like_kubectl() {
        let text = table(
            &["NAME", "STATUS", "AGE"],
            vec![row(&["node-1", "Ready", "3d"]), row(&["n", "NotReady", "5h2m"])],
        );
        assert_eq!(
            text,
            "NAME     STATUS     AGE\nnode-1   Ready      3d\nn        NotReady   5h2m"
        );
    }

    #[test]
    fn colours_and_wide_letters_do_not_move_columns() {
        let text = table(
            &["A", "B"],
            vec![
                row(&["\x1b[32mok\x1b[0m", "x"]),
                row(&["節点", "y"]),
                row(&["a\nb", ""]),
            ],
        );
        assert_eq!(text, "A      B\n\x1b[32mok\x1b[0m     x\n節点   y\na\\nb");
    }

    #[test]
    fn an_empty_table_has_its_header() {
        assert_eq!(table(&["NAME", "AGE"], Vec::new()), "NAME   AGE");
    }
}
