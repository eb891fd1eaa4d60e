//! Rows whose columns stand below one another.

use std::io;

use super::{Look, Screen};

/// Collects rows, and writes them aligned.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(Vec<String>, Option<Look>)>,
    right: &'static [usize],
}

impl Table {
    /// With this head; the columns of the numbers in `right` are aligned to the right.
    #[must_use]
    pub(crate) fn new(head: &[&str], right: &'static [usize]) -> Self {
        let head = head.iter().map(|&cell| cell.to_owned()).collect();
        Self {
            rows: vec![(head, Some(Look::Head))],
            right,
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>, look: Option<Look>) {
        self.rows.push((cells.into_iter().collect(), look));
    }

    /// Writes it. What is last in a row is not filled up.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn write(self, screen: &mut Screen<'_>) -> io::Result<()> {
        let mut widths = Vec::new();
        for (row, _) in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (cell, width) in row.iter().zip(&mut widths) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (row, look) in &self.rows {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width - cell.chars().count());
                let cell = match self.right.contains(&index) {
                    true => gap + cell,
                    false => cell.clone() + &gap,
                };
                line += &cell;
                line += "  ";
            }
            screen.line(line.trim_end(), *look)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_one_another() {
        let mut table = Table::new(&["ID", "SIZE", "WHAT"], &[1]);
        table.row(["a", "1.0 KiB", "full"].map(String::from), None);
        table.row(["longer", "9 B", "ł"].map(String::from), None);
        let mut out = Vec::new();
        table.write(&mut Screen::plain(&mut out, false)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "ID         SIZE  WHAT\na       1.0 KiB  full\nlonger      9 B  ł\n"
        );
    }
}
