//! Standard output and standard error, shared by everything that writes.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anstyle::{AnsiColor, Style};
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
    out: Mutex<Out>,
    /// Whether there is a live part, which messages on standard error have to go above. Apart from `out`, so that such a
    /// message doesn't wait for a standard output that is stuck.
    live: AtomicBool,
    /// Whether something that somebody wanted could not be written.
    lost: AtomicBool,
    palette: Palette,
}

/// Standard output.
#[derive(Debug)]
struct Out {
    /// Whether it is still taken.
    open: bool,
    /// The live part as it stands at the bottom of the terminal, a line each.
    bottom: Vec<String>,
}

/// A terminal's size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
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
    Doubtful,
    Bad,
    Busy,
    Dim,
    Strong,
}

// === impl Screen ===

impl Screen {
    pub(crate) fn new() -> Self {
        let on = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let out = Mutex::new(Out { open: true, bottom: Vec::new() });
        Self(Arc::new(Shared {
            out,
            live: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            palette: Palette { on },
        }))
    }

    pub(crate) fn palette(&self) -> Palette {
        self.0.palette
    }

    /// Whether a live part can be shown: a terminal that can move its cursor.
    pub(crate) fn is_live_terminal(&self) -> bool {
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// The terminal's size at the moment.
    pub(crate) fn size(&self) -> Size {
        let (rows, columns) = console::Term::stdout().size_checked().unwrap_or((24, 80));
        Size { rows: rows.into(), columns: usize::from(columns).max(20) }
    }

    /// Writes a line to standard output and flushes it.
    pub(crate) fn out(&self, line: &[u8]) {
        self.write(&mut self.0.out.lock(), &[line, b"\n"].concat());
    }

    /// Whether something could not be written, though somebody still wanted it: the disk is full, for instance.
    pub(crate) fn lost_output(&self) -> bool {
        self.0.lost.load(Ordering::Acquire)
    }

    /// Whether somebody still takes standard output.
    pub(crate) fn is_open(&self) -> bool {
        self.0.out.lock().open
    }

    /// Replaces the live part by `above`, which stays, and a new live part, in one write so that it doesn't flicker. No line
    /// may be wider than the terminal.
    pub(crate) fn paint(&self, above: &[String], bottom: Vec<String>) {
        let mut out = self.0.out.lock();
        if above.is_empty() && bottom == out.bottom {
            return;
        }
        self.0.live.store(!bottom.is_empty(), Ordering::Release);
        let mut frame = erase(&out.bottom, self.size().columns);
        for line in above.iter().chain(&bottom) {
            frame.push_str(line);
            frame.push('\n');
        }
        out.bottom = bottom;
        self.write(&mut out, frame.as_bytes());
    }

    /// Writes a message to standard error, above the live part. Control characters in it are made visible.
    pub(crate) fn err(&self, message: &str) {
        self.err_bytes(format!("{}\n", text::lines(message)).as_bytes());
    }

    /// Writes bytes to standard error, above the live part.
    pub(crate) fn err_bytes(&self, bytes: &[u8]) {
        // There is nobody left to tell when standard error is gone.
        let write = || io::stderr().lock().write_all(bytes).unwrap_or_default();
        if !self.0.live.load(Ordering::Acquire) || !io::stderr().is_terminal() {
            return write();
        }
        let mut out = self.0.out.lock();
        let bottom = out.bottom.iter().map(|line| format!("{line}\n")).collect::<String>();
        let erase = erase(&out.bottom, self.size().columns);
        self.write(&mut out, erase.as_bytes());
        write();
        self.write(&mut out, bottom.as_bytes());
    }

    fn write(&self, out: &mut Out, bytes: &[u8]) {
        if !out.open {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            out.open = false;
            out.bottom.clear();
            self.0.live.store(false, Ordering::Release);
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.0.lost.store(true, Ordering::Release);
                self.err(&format!("warning: can't write to standard output any more: {error}"));
            }
        }
    }
}

/// What makes a terminal forget `lines`, which stand right above its cursor. A terminal that became narrower since has
/// broken them into more rows.
fn erase(lines: &[String], columns: usize) -> String {
    let rows: usize =
        lines.iter().map(|line| console::measure_text_width(line).div_ceil(columns).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
}

// === impl Palette ===

impl Palette {
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Doubtful => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Busy => AnsiColor::Cyan.on_default(),
            Tone::Dim => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_are_erased_as_are_there() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(erase(&[], 10), "");
        assert_eq!(erase(&lines(&["", "ab"]), 10), "\r\x1b[2A\x1b[J");
        assert_eq!(erase(&lines(&["\x1b[31m0123456789\x1b[0m", "01234567890"]), 10), "\r\x1b[3A\x1b[J");
        assert_eq!(erase(&lines(&["漢字漢字漢字"]), 10), "\r\x1b[2A\x1b[J");
    }
}
