//! The `text/event-stream` format, read as the bytes come.

use std::time::Duration;

use bytes::Bytes;

/// Reads `text/event-stream` as WHATWG defines it: lines end with CR, LF or CRLF, a leading byte order mark is passed
/// over, several `data` lines are joined with LF, comments and unknown fields are ignored, a block that its blank line
/// doesn't close is discarded.
///
/// How the bytes are cut into chunks makes no difference. One connection, one decoder.
#[derive(Debug)]
pub struct SseDecoder {
    /// Most bytes that an unfinished block may hold.
    limit: usize,
    /// Before the end of the first line, where a byte order mark may stand.
    at_start: bool,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// The line that is not finished yet.
    line: Vec<u8>,
    /// The data lines of the block so far, each with a LF behind it.
    data: Vec<u8>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
}

/// One block: what stands between two blank lines. Blocks with neither data nor id are not reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseBlock {
    /// The `id` that this very block carries; empty text resets the position. A block with an id and no data moves the
    /// position without being an event.
    pub id: Option<String>,
    /// The `event` field, unless empty.
    pub event: Option<String>,
    /// The data, if there is any; valid UTF-8.
    pub data: Option<Bytes>,
}

/// A block is longer than the decoder was told to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// Most bytes of a block.
    pub limit: usize,
}

// === impl SseDecoder ===

impl SseDecoder {
    /// A decoder for one connection that refuses blocks of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            at_start: true,
            after_cr: false,
            line: Vec::new(),
            data: Vec::new(),
            event: None,
            id: None,
            retry: None,
        }
    }

    /// The reconnection time that the stream asked for last.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next bytes and appends the blocks that they complete to `blocks`.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; the decoder is of no use afterwards. Blocks completed before are in `blocks`.
    pub fn feed(&mut self, mut chunk: &[u8], blocks: &mut Vec<SseBlock>) -> Result<(), TooLong> {
        while let Some((&first, rest)) = chunk.split_first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                chunk = rest;
                continue;
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (part, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
            if self.data.len() + self.line.len() + part.len() > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            let Some((&end, rest)) = rest.split_first() else {
                self.line.extend_from_slice(part);
                return Ok(());
            };
            self.after_cr = end == b'\r';
            chunk = rest;
            if self.line.is_empty() {
                self.take_line(part, blocks);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(part);
                self.take_line(&line, blocks);
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], blocks: &mut Vec<SseBlock>) {
        let line = match std::mem::take(&mut self.at_start) {
            true => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            self.end_block(blocks);
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.event = Some(text(value)).filter(|name| !name.is_empty()),
            b"id" if !value.contains(&0) => self.id = Some(text(value)),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = text(value).parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // A comment has an empty field name.
            _ => {}
        }
    }

    fn end_block(&mut self, blocks: &mut Vec<SseBlock>) {
        let mut data = std::mem::take(&mut self.data);
        let (id, event) = (self.id.take(), self.event.take());
        // The LF behind the last data line doesn't count.
        let data = data.pop().map(|_lf| match String::from_utf8(data) {
            Ok(data) => Bytes::from(data),
            Err(error) => Bytes::from(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        });
        if id.is_some() || data.is_some() {
            blocks.push(SseBlock { id, event, data });
        }
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> (Vec<SseBlock>, Option<Duration>, Result<(), TooLong>) {
        let (mut decoder, mut blocks) = (SseDecoder::new(64), Vec::new());
        let result = chunks.iter().try_for_each(|chunk| decoder.feed(chunk, &mut blocks));
        (blocks, decoder.retry(), result)
    }

    fn blocks(text: &str) -> Vec<SseBlock> {
        let (blocks, _, result) = read(&[text.as_bytes()]);
        result.unwrap();
        blocks
    }

    fn block(id: Option<&str>, event: Option<&str>, data: Option<&str>) -> SseBlock {
        SseBlock {
            id: id.map(str::to_owned),
            event: event.map(str::to_owned),
            data: data.map(|data| Bytes::copy_from_slice(data.as_bytes())),
        }
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark() {
        let expected = vec![block(Some("1"), None, Some("a\nb")), block(None, None, Some("c"))];
        for end in ["\n", "\r", "\r\n"] {
            let text = "\u{feff}id: 1\ndata: a\ndata:b\n\ndata: c\n\n".replace('\n', end);
            assert_eq!(blocks(&text), expected, "{end:?}");
        }
        // Only one mark is passed over, and only at the start.
        assert_eq!(blocks("\u{feff}\u{feff}data: a\n\n"), vec![]);
        assert_eq!(blocks("data: a\n\n\u{feff}data: b\n\n"), vec![block(None, None, Some("a"))]);
    }

    #[test]
    fn fields() {
        assert_eq!(blocks(": a comment\n:\n\n"), vec![]);
        assert_eq!(blocks("id: 7\n\n"), vec![block(Some("7"), None, None)]);
        assert_eq!(blocks("id\n\n"), vec![block(Some(""), None, None)]);
        assert_eq!(blocks("id: a\0b\n\n"), vec![]);
        assert_eq!(blocks("data\n\n"), vec![block(None, None, Some(""))]);
        assert_eq!(blocks("data\ndata\n\n"), vec![block(None, None, Some("\n"))]);
        assert_eq!(blocks("data:  two spaces\n\n"), vec![block(None, None, Some(" two spaces"))]);
        assert_eq!(blocks("data: a:b\n\n"), vec![block(None, None, Some("a:b"))]);
        assert_eq!(blocks("event: x\ndata: 1\n\ndata: 2\n\n")[1], block(None, None, Some("2")));
        assert_eq!(blocks("event: x\ndata: 1\n\n"), vec![block(None, Some("x"), Some("1"))]);
        assert_eq!(blocks("nonsense: 1\nDATA: 2\n data: 3\n\n"), vec![]);
        // Not closed by a blank line: discarded.
        assert_eq!(blocks("id: 1\ndata: 1\n"), vec![]);
    }

    #[test]
    fn retry_takes_digits_only() {
        let retry = |text: &str| read(&[text.as_bytes()]).1;
        assert_eq!(retry("retry: 1500\n"), Some(Duration::from_millis(1500)));
        for bogus in [
            "retry: 1s\n",
            "retry: -1\n",
            "retry: 1.5\n",
            "retry:\n",
            "retry: +1\n",
            "retry: 99999999999999999999\n",
        ] {
            assert_eq!(retry(bogus), None, "{bogus:?}");
            assert_eq!(retry(&format!("retry: 20\n{bogus}")), Some(Duration::from_millis(20)), "{bogus:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let (blocks, ..) = read(&[b"data: a\xFFb\n\n"]);
        assert_eq!(blocks, vec![block(None, None, Some("a\u{fffd}b"))]);
    }

    #[test]
    fn a_block_is_bounded() {
        let fits = format!("data: {}\n\n", "x".repeat(58));
        assert!(read(&[fits.as_bytes()]).2.is_ok());
        for text in [
            format!("data: {}", "x".repeat(59)),
            format!(": {}", "x".repeat(63)),
            "data: xxxxxxxxx\n".repeat(7),
        ] {
            assert_eq!(read(&[text.as_bytes()]).2, Err(TooLong { limit: 64 }), "{text:?}");
        }
    }

    /// The same, read in one piece as the standard's prose has it.
    fn model(text: &str) -> Vec<SseBlock> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.pop();
        let (mut blocks, mut id, mut event, mut data) = (Vec::new(), None, None, Vec::new());
        for line in lines {
            if line.is_empty() {
                let data = std::mem::take(&mut data);
                let data = (!data.is_empty()).then(|| data.join("\n"));
                let (id, event): (Option<String>, Option<String>) = (id.take(), event.take());
                if id.is_some() || data.is_some() {
                    blocks.push(SseBlock { id, event, data: data.map(Bytes::from) });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => data.push(value.to_owned()),
                "id" if !value.contains('\0') => id = Some(value.to_owned()),
                "event" => event = Some(value.to_owned()).filter(|v| !v.is_empty()),
                _ => {}
            }
        }
        blocks
    }

    fn stream() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\n"),
            Just("\r"),
            Just("\r\n"),
            Just("data"),
            Just("id"),
            Just("event"),
            Just("retry"),
            Just(":"),
            Just(" "),
            Just("\u{feff}"),
            Just("ü"),
            Just("7"),
            Just("{\"a\":1}"),
            Just("\0"),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_split_gives_the_same_blocks(text in stream(), cuts in proptest::collection::vec(0usize..200, 0..12)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            let whole = read(&[bytes]);
            prop_assert_eq!(&read(&chunks), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&read(&single), &whole);
            if whole.2.is_ok() {
                prop_assert_eq!(whole.0, model(&text));
            }
        }
    }
}
