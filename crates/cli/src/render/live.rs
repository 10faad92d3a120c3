//! What runs at the moment, at the bottom of a terminal.

use core_events::{ExecutionState, NodeStatus, Timestamp};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::line;
use crate::{
    screen::{Palette, Screen, Tone},
    text,
};

/// Most nodes that are shown at once, so that the rest of the terminal stays for the lines above.
const SHOWN_NODES: usize = 10;

/// Most lines that wait for the next drawing.
const WAITING_LINES: usize = 256;

/// Redraws at most so often per second.
const HERTZ: u8 = 20;

/// The live part, and the lines that go above it.
///
/// Lines wait for the next [`Live::draw`], so that a run that logs a lot doesn't redraw for each of them.
#[derive(Debug)]
pub(super) struct Live {
    screen: Screen,
    bars: MultiProgress,
    /// One per line of the live part: the running nodes, and the summary.
    slots: Vec<ProgressBar>,
    waiting: Vec<String>,
    frame: usize,
}

// === impl Live ===

impl Live {
    pub(super) fn new(screen: Screen) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(HERTZ));
        screen.set_live(Some(bars.clone()));
        Self { screen, bars, slots: Vec::new(), waiting: Vec::new(), frame: 0 }
    }

    /// Puts `line` above the live part; lines that are too long for the terminal are cut.
    pub(super) fn print(&mut self, line: String) {
        self.waiting.push(line);
        if self.waiting.len() >= WAITING_LINES {
            self.flush();
        }
    }

    /// Prints what waits, and shows what runs now.
    pub(super) fn draw(&mut self, state: &ExecutionState, palette: Palette) {
        self.frame = self.frame.wrapping_add(1);
        self.flush();
        let lines = self.lines(state, palette);
        while self.slots.len() > lines.len() {
            if let Some(bar) = self.slots.pop() {
                self.bars.remove(&bar);
            }
        }
        while self.slots.len() < lines.len() {
            let bar = ProgressBar::no_length();
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            self.slots.push(self.bars.add(bar));
        }
        for (bar, line) in self.slots.iter().zip(lines) {
            bar.set_message(line);
            bar.tick();
        }
    }

    /// Takes the live part away; the lines above it stay.
    pub(super) fn close(mut self) {
        self.flush();
        // A terminal that is gone needs no tidying.
        self.bars.clear().unwrap_or_default();
        self.screen.set_live(None);
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let width =
            console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns).max(20));
        let lines: Vec<String> = self
            .waiting
            .drain(..)
            .flat_map(|line| line.split('\n').map(|line| cut(line, width)).collect::<Vec<_>>())
            .collect();
        self.bars.println(lines.join("\n")).unwrap_or_default();
    }

    fn lines(&self, state: &ExecutionState, palette: Palette) -> Vec<String> {
        let now = Timestamp::now();
        let spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let spinner = spinner.get(self.frame % spinner.len()).copied().unwrap_or_default();
        let running = || state.nodes.iter().filter(|(_, node)| node.status == NodeStatus::Running);
        let mut lines: Vec<String> = running()
            .take(SHOWN_NODES)
            .map(|(id, node)| {
                let elapsed = node.started_at.map(|at| text::duration(now.since(at))).unwrap_or_default();
                let iteration = match node.iterations {
                    0 | 1 => String::new(),
                    n => format!(" #{n}"),
                };
                let tag = palette.paint(Tone::Busy, "RUNNING");
                let label = line::label(state, id).replace('\t', "    ");
                format!("{spinner} {tag} {label}{iteration} {}", palette.paint(Tone::Dim, &elapsed))
            })
            .collect();
        if let Some(more) = running().count().checked_sub(SHOWN_NODES).filter(|more| *more > 0) {
            lines.push(format!("  and {more} more"));
        }
        let counts: Vec<String> =
            state.counts().into_iter().map(|(status, n)| format!("{n} {}", status.to_lowercase())).collect();
        let elapsed = state.started_at.map(|at| text::duration(now.since(at))).unwrap_or_default();
        let counts = text::line(&counts.join(" · ")).into_owned();
        lines.push(palette.paint(Tone::Dim, format!("  {elapsed}  {counts}").trim_end()));
        lines
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
