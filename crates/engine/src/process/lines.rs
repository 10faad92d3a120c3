//! Cuts a program's output into lines.

use core_events::limits::{self, MAX_LOG_LINE_BYTES};

/// Cuts bytes into lines. LF, CR and CRLF end a line; a line longer than a log event may hold continues in the next
/// one; bytes that are no UTF-8 become U+FFFD.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
}

// === impl Lines ===

impl Lines {
    /// Adds `bytes`; `line` receives every line that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let room = MAX_LOG_LINE_BYTES.saturating_sub(self.partial.len());
            let end = rest.iter().take(room).position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, after) = rest.split_at(end.unwrap_or(room.min(rest.len())));
            self.partial.extend_from_slice(part);
            rest = after;
            if end.is_some() {
                self.after_cr = rest.first() == Some(&b'\r');
                rest = rest.get(1..).unwrap_or_default();
                emit(&std::mem::take(&mut self.partial), &mut line);
            } else if self.partial.len() >= MAX_LOG_LINE_BYTES {
                let kept = self.partial.split_off(last_boundary(&self.partial));
                emit(&std::mem::replace(&mut self.partial, kept), &mut line);
            }
        }
    }

    /// The line that no line end has ended.
    pub(super) fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.partial.is_empty() {
            emit(&std::mem::take(&mut self.partial), &mut line);
        }
    }
}

/// U+FFFD is longer than what it stands for, so one piece may become more.
fn emit(bytes: &[u8], line: &mut impl FnMut(String)) {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = &*text;
    while rest.len() > MAX_LOG_LINE_BYTES {
        let head = limits::head(rest, MAX_LOG_LINE_BYTES);
        line(head.to_owned());
        rest = rest.get(head.len()..).unwrap_or_default();
    }
    line(rest.to_owned());
}

/// Where to cut so that no character is cut in two.
fn last_boundary(bytes: &[u8]) -> usize {
    let start = bytes.iter().rposition(|byte| byte & 0b1100_0000 != 0b1000_0000).unwrap_or(bytes.len());
    let tail = bytes.get(start..).unwrap_or_default();
    // Incomplete, not wrong: more bytes would make it whole.
    let cut = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if cut && start > 0 { start } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        chunks.iter().for_each(|chunk| lines.push(chunk, |line| all.push(line)));
        lines.finish(|line| all.push(line));
        all
    }

    #[test]
    fn every_kind_of_line_end() {
        assert_eq!(lines(&[b"a\nb\r\nc\rd\r", b"\n\ne"]), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(lines(&[b"", b"\n"]), [""]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn long_lines_continue_and_characters_stay_whole() {
        let text = "é".repeat(MAX_LOG_LINE_BYTES);
        for chunk in [1, 7, 4096, text.len()] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(chunk).collect();
            let all = lines(&chunks);
            assert_eq!(all.concat(), text);
            assert!(all.iter().all(|line| line.len() <= MAX_LOG_LINE_BYTES));
        }
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_stays_bounded() {
        assert_eq!(lines(&[b"a\xffb\xc3"]), ["a\u{fffd}b\u{fffd}"]);
        let all = lines(&[&[0xff; 3 * MAX_LOG_LINE_BYTES]]);
        assert!(all.iter().all(|line| line.len() <= MAX_LOG_LINE_BYTES));
        assert_eq!(all.concat().chars().count(), 3 * MAX_LOG_LINE_BYTES);
    }
}
