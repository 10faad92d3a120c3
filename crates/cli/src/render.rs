//! How a run is shown.

mod json;
mod line;
mod live;
mod summary;

use client::{EventItem, GapItem, Lost, Unreadable};
use core_events::{Event, ExecutionId, ExecutionState, NodeStatus};
use jiff::tz::TimeZone;

use self::{line::Lines, live::Live};
use crate::screen::{Palette, Screen, Tone};

/// What to show of a run, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Events as they came, one per line.
    Json,
    /// Errors and the end.
    Quiet,
    /// A line per change; on a terminal with what runs at the moment below.
    Text,
    /// A line per change, the end among them, and nothing else.
    Lines,
}

/// Shows one run and folds its state.
#[derive(Debug)]
pub(crate) struct View {
    screen: Screen,
    style: Style,
    state: ExecutionState,
    lines: Lines,
    live: Option<Live>,
}

/// How a run ended, or stands, what failed, and what came out.
pub(crate) fn summary(state: &ExecutionState, palette: Palette) -> Vec<String> {
    summary::lines(state, palette)
}

/// How the status of a node is shown.
pub(crate) fn node_tone(status: &NodeStatus) -> Tone {
    line::tone(status)
}

// === impl View ===

impl View {
    /// Nothing shown yet. With `debug` log lines of level DEBUG are shown too.
    pub(crate) fn new(screen: Screen, style: Style, execution: ExecutionId, debug: bool) -> Self {
        let live = (style == Style::Text && screen.is_live_terminal()).then(|| Live::new(screen.clone()));
        let ends = style == Style::Lines;
        let lines = Lines { palette: screen.palette(), zone: TimeZone::system(), debug, ends };
        Self { screen, style, state: ExecutionState::new(execution), lines, live }
    }

    /// The fold of what was shown.
    pub(crate) fn state(&self) -> &ExecutionState {
        &self.state
    }

    /// Goes on with a state that somebody else folded, after events were missing here.
    pub(crate) fn adopt(&mut self, state: ExecutionState) {
        self.state = state;
    }

    /// Shows where else the run can be watched, and what the compiler had to say.
    pub(crate) fn begin(&self, monitor: &str, warnings: &[String]) {
        if self.style == Style::Quiet {
            return;
        }
        for warning in warnings {
            self.screen.err(warning);
        }
        let line = format!("monitor {monitor}");
        if self.style == Style::Json { self.screen.err(&line) } else { self.screen.out(line.as_bytes()) }
    }

    pub(crate) fn event(&mut self, event: &EventItem) {
        self.state.apply(&event.envelope);
        if let Event::ExecutionStatusChanged(change) = &event.envelope.event
            && event.envelope.execution_id == self.state.execution_id
        {
            // The terminal event names them all, also those whose own events fell into a gap.
            self.state.failed_nodes.extend(change.failed_nodes.iter().flatten().cloned());
        }
        let shown = match self.style {
            Style::Json => return self.screen.out(&json::with_cursor(event)),
            Style::Quiet => self.lines.error(&event.envelope, &self.state),
            Style::Text | Style::Lines => {
                self.lines.change(&event.envelope, &self.state, self.live.is_some())
            }
        };
        if let Some(line) = shown {
            self.print(&line);
        }
    }

    pub(crate) fn gap(&mut self, gap: &GapItem) {
        match self.style {
            Style::Json => self.screen.out(&json::one_line(&gap.json)),
            Style::Quiet | Style::Text | Style::Lines => {
                self.screen
                    .err("warning: some events of the run are missing here: the log no longer holds them");
            }
        }
    }

    pub(crate) fn unreadable(&mut self, frame: &Unreadable) {
        self.screen.err(&format!("warning: an event can't be read: {}", frame.problem));
    }

    pub(crate) fn reconnecting(&mut self, lost: &Lost) {
        self.screen.err(&format!("{}; attempt {} to connect again", lost.error, lost.attempt));
    }

    /// Renews what changes by itself: elapsed times.
    pub(crate) fn tick(&mut self) {
        if let Some(live) = &mut self.live {
            live.draw(&self.state, self.lines.palette);
        }
    }

    /// Shows how it ended. Nothing is shown afterwards.
    pub(crate) fn finish(&mut self) {
        self.close();
        if self.style != Style::Json {
            for line in summary::lines(&self.state, self.lines.palette) {
                self.screen.out(line.as_bytes());
            }
        }
    }

    /// Takes the live part away; what was printed stays.
    pub(crate) fn close(&mut self) {
        if let Some(live) = self.live.take() {
            live.close();
        }
    }

    fn print(&mut self, line: &str) {
        match &mut self.live {
            Some(live) => live.print(line, &self.state, self.lines.palette),
            None => self.screen.out(line.as_bytes()),
        }
    }
}
