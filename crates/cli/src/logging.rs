//! Our own log, on standard error.

use std::io;

use server::CaptureLayer;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::LevelFilter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::screen::Screen;

/// What `--debug` shows: all that our own crates say, and warnings of others.
const DEBUG: &str = "warn,cli=debug,client=debug,diagram=debug,engine=debug,event_store=debug,history=debug,\
                     ingest=debug,observer_unified=debug,router=debug,server=debug,transport_rest=debug,\
                     transport_sse=debug";

/// Starts logging. `RUST_LOG` decides what is shown; without it warnings, or more with `debug`.
pub(crate) fn start(screen: Screen, debug: bool) {
    let default = if debug { DEBUG } else { "warn" };
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::new(directives),
        _ => EnvFilter::new(default),
    };
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let shown = fmt::layer().with_ansi(colours).with_writer(Writer(screen)).with_filter(filter);
    // What is shown here and what belongs to a node's log are two questions.
    let captured = CaptureLayer::new(Level::INFO).with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(shown).with(captured).init();
}

struct Writer(Screen);

/// One log line, written at once so that it can't be torn by the live view.
struct Line {
    screen: Screen,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { screen: self.0.clone(), bytes: Vec::new() }
    }
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.screen.err_bytes(&self.bytes);
    }
}
