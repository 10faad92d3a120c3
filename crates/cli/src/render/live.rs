//! What runs at the moment, at the bottom of a terminal.

use core_events::{ExecutionState, NodeStatus, Timestamp};

use super::line;
use crate::{
    screen::{Palette, Screen, Tone},
    text,
};

/// Most nodes that are shown at once, so that the rest of the terminal stays for the lines above.
const SHOWN_NODES: usize = 10;

/// Most lines that wait for the next drawing.
const WAITING_LINES: usize = 256;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The live part, and the lines that go above it.
///
/// Lines wait for the next [`Live::draw`], so that a run that logs a lot doesn't redraw for each of them.
#[derive(Debug)]
pub(super) struct Live {
    screen: Screen,
    waiting: Vec<String>,
    frame: usize,
}

// === impl Live ===

impl Live {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, waiting: Vec::new(), frame: 0 }
    }

    /// Puts `line` above the live part; lines that are too long for the terminal are cut.
    pub(super) fn print(&mut self, line: &str, state: &ExecutionState, palette: Palette) {
        let columns = self.screen.size().columns;
        self.waiting.extend(line.split('\n').map(|line| cut(line, columns)));
        if self.waiting.len() >= WAITING_LINES {
            self.draw(state, palette);
        }
    }

    /// Prints what waits, and shows what runs now.
    pub(super) fn draw(&mut self, state: &ExecutionState, palette: Palette) {
        self.frame = self.frame.wrapping_add(1);
        self.screen.paint(&std::mem::take(&mut self.waiting), self.lines(state, palette));
    }

    /// Takes the live part away; the lines above it stay.
    pub(super) fn close(self) {
        self.screen.paint(&self.waiting, Vec::new());
    }

    fn lines(&self, state: &ExecutionState, palette: Palette) -> Vec<String> {
        let now = Timestamp::now();
        let size = self.screen.size();
        let shown = SHOWN_NODES.min(size.rows / 2);
        let spinner = SPINNER.get(self.frame % SPINNER.len()).copied().unwrap_or_default();
        let running = || state.nodes.iter().filter(|(_, node)| node.status == NodeStatus::Running);
        let mut lines: Vec<String> = running()
            .take(shown)
            .map(|(id, node)| {
                let elapsed = node.started_at.map(|at| text::duration(now.since(at))).unwrap_or_default();
                let iteration = match node.iterations {
                    0 | 1 => String::new(),
                    n => format!(" #{n}"),
                };
                let tag = palette.paint(Tone::Busy, "RUNNING");
                let label = line::label(state, id);
                format!("{spinner} {tag} {label}{iteration} {}", palette.paint(Tone::Dim, &elapsed))
            })
            .collect();
        if let Some(more) = running().count().checked_sub(shown).filter(|more| *more > 0) {
            lines.push(format!("  and {more} more"));
        }
        if let Some(at) = state.started_at {
            let counts: Vec<String> = state
                .counts()
                .into_iter()
                .map(|(status, n)| format!("{n} {}", status.to_lowercase()))
                .collect();
            let counts = text::line(&counts.join(" · ")).into_owned();
            lines.push(palette.paint(Tone::Dim, &format!("  {}  {counts}", text::duration(now.since(at)))));
        }
        lines.iter().map(|line| cut(line, size.columns)).collect()
    }
}

/// `line` as far as it fits into `width` columns, which only a terminal's own tabs could change.
fn cut(line: &str, width: usize) -> String {
    console::truncate_str(&line.replace('\t', "    "), width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_columns_not_bytes() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("a\tb", 20), "a    b");
        // Colours take no room, and are ended.
        let cut = cut("\x1b[31mabcdef\x1b[0m", 4);
        assert_eq!(console::strip_ansi_codes(&cut), "abc…");
        assert!(cut.ends_with("\x1b[0m"), "{cut:?}");
    }
}
