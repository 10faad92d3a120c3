//! Standard output and standard error, shared by everything that writes.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use anstyle::{AnsiColor, Style};
use indicatif::MultiProgress;
use parking_lot::Mutex;

use crate::text;

/// The two outputs of the command. Cheap to clone.
///
/// A reader that goes away (`| head -1`) ends the output, quietly, and nothing else: the run goes on, since it has effects
/// of its own, and its end still decides the exit code.
#[derive(Debug, Clone)]
pub(crate) struct Screen(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whether standard output is still taken.
    open: Mutex<bool>,
    /// The live part at the bottom of the terminal, while there is one: other writing has to go above it.
    live: Mutex<Option<MultiProgress>>,
    palette: Palette,
}

/// Colours, or none: as `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM` and the kind of output have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    on: bool,
}

/// What a text is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Busy,
    Dim,
    Strong,
}

// === impl Screen ===

impl Screen {
    pub(crate) fn new() -> Self {
        let on = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        Self(Arc::new(Shared { open: Mutex::new(true), live: Mutex::new(None), palette: Palette { on } }))
    }

    pub(crate) fn palette(&self) -> Palette {
        self.0.palette
    }

    /// Whether a live view can be shown: a terminal that can move its cursor.
    pub(crate) fn is_live_terminal(&self) -> bool {
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Writes a line to standard output and flushes it.
    pub(crate) fn out(&self, line: &[u8]) {
        let mut open = self.0.open.lock();
        if !*open {
            return;
        }
        let mut stdout = io::stdout().lock();
        let written =
            stdout.write_all(line).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
        if let Err(error) = written {
            *open = false;
            drop(open);
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.err(&format!("warning: can't write to standard output any more: {error}"));
            }
        }
    }

    /// Writes a message to standard error, above the live view. Control characters in it are made visible.
    pub(crate) fn err(&self, message: &str) {
        self.err_bytes(format!("{}\n", text::lines(message)).as_bytes());
    }

    /// Writes bytes to standard error, above the live view.
    pub(crate) fn err_bytes(&self, bytes: &[u8]) {
        // There is nobody left to tell when standard error is gone.
        let write = || io::stderr().lock().write_all(bytes).unwrap_or_default();
        let live = self.0.live.lock();
        match &*live {
            Some(live) => live.suspend(write),
            None => write(),
        }
    }

    /// From now on everything that is written goes above `live`; `None` when the live view is gone.
    pub(crate) fn set_live(&self, live: Option<MultiProgress>) {
        *self.0.live.lock() = live;
    }
}

// === impl Palette ===

impl Palette {
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Busy => AnsiColor::Cyan.on_default(),
            Tone::Dim => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }
}
