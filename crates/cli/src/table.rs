//! Columns.

use crate::{
    screen::{Palette, Tone},
    text,
};

/// Lines whose cells stand below each other.
#[derive(Debug)]
pub(crate) struct Table {
    palette: Palette,
    rows: Vec<Vec<Cell>>,
}

/// A text, and what it is about.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
    right: bool,
}

// === impl Table ===

impl Table {
    /// Only the names of the columns yet.
    pub(crate) fn new(palette: Palette, names: &[&str]) -> Self {
        let head = names.iter().map(|name| Cell::new(name).toned(Tone::Dim)).collect();
        Self { palette, rows: vec![head] }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines. Numbers have their head right above them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[Cell], column: usize| row.get(column).map_or(0, Cell::width);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column)).max().unwrap_or(0))
            .collect();
        let right =
            |column: usize| self.rows.get(1).and_then(|row| row.get(column)).is_some_and(|cell| cell.right);
        let line = |row: &Vec<Cell>| {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let shown =
                    cell.tone.map_or_else(|| cell.text.clone(), |tone| self.palette.paint(tone, &cell.text));
                let space = " ".repeat(width.saturating_sub(cell.width()));
                let gap = if column > 0 { "  " } else { "" };
                line.push_str(gap);
                line.push_str(&if right(column) { space + &shown } else { shown + &space });
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

// === impl Cell ===

impl Cell {
    /// A text of others, made safe to show.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text::line(text).into_owned(), tone: None, right: false }
    }

    /// A number, or a quantity.
    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::new(&text.into()) }
    }

    pub(crate) fn toned(self, tone: Tone) -> Self {
        Self { tone: Some(tone), ..self }
    }

    fn width(&self) -> usize {
        console::measure_text_width(&self.text)
    }
}
