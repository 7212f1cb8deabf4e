//! Tables that a person reads.

use console::measure_text_width;

/// The gap between two columns.
const GAP: &str = "  ";

/// Returns the rows as lines. Each column is as wide as its widest cell. But a cell that is wider than its column's
/// `widest` does not count, and shifts the cells after it. Widths are those on a screen: a letter may take two places,
/// a colour takes none. Lines have no blanks at their ends.
#[must_use]
pub fn lines<const COLUMNS: usize>(rows: &[[String; COLUMNS]], widest: [usize; COLUMNS]) -> Vec<String> {
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| measure_text_width(&row[column]));
        cells.filter(|width| *width <= widest[column]).max().unwrap_or_default()
    });
    rows.iter().map(|row| line(row, widths)).collect()
}

fn line<const COLUMNS: usize>(row: &[String; COLUMNS], widths: [usize; COLUMNS]) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        // A column without any content is left out.
        if width == 0 && cell.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push_str(GAP);
        }
        text.push_str(cell);
        text.push_str(&" ".repeat(width.saturating_sub(measure_text_width(cell))));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[[&str; 3]]) -> Vec<[String; 3]> {
        rows.iter().map(|row| row.map(str::to_owned)).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        let rows = rows(&[["a", "bb", "c"], ["aaa", "b", ""], ["", "", "c"]]);
        assert_eq!(lines(&rows, [9; 3]), ["a    bb  c", "aaa  b", "         c"]);
    }

    #[test]
    fn a_column_in_which_nothing_stands_is_none() {
        assert_eq!(lines(&rows(&[["a", "", "c"], ["b", "", ""]]), [9; 3]), ["a  c", "b"]);
    }

    #[test]
    fn a_long_cell_does_not_widen_its_column() {
        let rows = rows(&[["aaaa", "b", "c"], ["a", "b", "c"]]);
        assert_eq!(lines(&rows, [3, 9, 9]), ["aaaa  b  c", "a  b  c"]);
    }

    #[test]
    fn widths_are_those_on_a_screen() {
        let rows = rows(&[
            ["日本", "b", "c"],
            ["\u{1b}[31mred\u{1b}[0m", "e\u{301}", "c"],
            ["four", "b", "c"],
        ]);
        assert_eq!(
            lines(&rows, [9; 3]),
            ["日本  b  c", "\u{1b}[31mred\u{1b}[0m   e\u{301}  c", "four  b  c"]
        );
    }
}
