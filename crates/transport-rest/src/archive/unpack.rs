//! A packed file, unpacked within bounds while it comes.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// How a gzip file begins. No JSON does.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Takes bytes as they come, packed or not, and gives what is in them.
#[derive(Debug)]
pub(super) struct Unpack {
    state: State,
    max_bytes: u64,
}

#[derive(Debug)]
enum State {
    /// Not enough came to tell.
    Begin(Vec<u8>),
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

/// Takes so many bytes and no more.
#[derive(Debug)]
struct Bounded {
    bytes: Vec<u8>,
    room: u64,
}

/// Why a file is not unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnpackError {
    /// It has more bytes than may be.
    TooLarge,
    /// It ends in the middle, or its check sum is wrong: which of them, gzip does not tell.
    Unfinished,
    /// It is damaged.
    Damaged(String),
}

// === impl Unpack ===

impl Unpack {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { state: State::Begin(Vec::new()), max_bytes }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        match &mut self.state {
            State::Begin(begin) => {
                begin.extend_from_slice(bytes);
                if begin.len() < GZIP.len() {
                    return Ok(());
                }
                let begin = std::mem::take(begin);
                self.decide(begin.starts_with(&GZIP));
                self.push(&begin)
            }
            State::Plain(out) => out.write_all(bytes).map_err(|error| unpack_error(&error)),
            State::Gzip(decoder) => decoder.write_all(bytes).map_err(|error| unpack_error(&error)),
        }
    }

    /// Everything came.
    pub(super) fn finish(&mut self) -> Result<(), UnpackError> {
        match &mut self.state {
            State::Begin(begin) => {
                let begin = std::mem::take(begin);
                self.decide(false);
                self.push(&begin)
            }
            State::Plain(_) => Ok(()),
            State::Gzip(decoder) => decoder.try_finish().map_err(|error| match unpack_error(&error) {
                UnpackError::TooLarge => UnpackError::TooLarge,
                _ => UnpackError::Unfinished,
            }),
        }
    }

    /// What was unpacked and not yet taken.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        match &mut self.state {
            State::Begin(bytes) => bytes,
            State::Plain(out) => &mut out.bytes,
            State::Gzip(decoder) => &mut decoder.get_mut().bytes,
        }
    }

    fn decide(&mut self, packed: bool) {
        let out = Bounded { bytes: Vec::new(), room: self.max_bytes };
        self.state = if packed { State::Gzip(Box::new(MultiGzDecoder::new(out))) } else { State::Plain(out) };
    }
}

fn unpack_error(error: &io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => UnpackError::TooLarge,
        _ => UnpackError::Damaged(error.to_string()),
    }
}

// === impl Bounded ===

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room.checked_sub(bytes.len() as u64);
        self.room = room.ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8], step: usize, max_bytes: u64) -> Result<Vec<u8>, UnpackError> {
        let mut unpack = Unpack::new(max_bytes);
        let mut out = Vec::new();
        for step in bytes.chunks(step) {
            unpack.push(step)?;
            if unpack.output().len() > 1 {
                out.append(unpack.output());
            }
        }
        unpack.finish()?;
        out.append(unpack.output());
        Ok(out)
    }

    #[test]
    fn packed_or_not_it_gives_what_is_in_it() {
        for text in [&b""[..], b"x", b"xy", &b"line\n".repeat(10_000)] {
            for step in [1, 2, 7, 8_192] {
                assert_eq!(unpack(&packed(text), step, 50_000).as_deref(), Ok(text));
                assert_eq!(unpack(text, step, 50_000).as_deref(), Ok(text));
            }
        }
        // Files that were put together are one.
        assert_eq!(unpack(&[packed(b"a"), packed(b"b")].concat(), 3, 10).as_deref(), Ok(&b"ab"[..]));
    }

    #[test]
    fn what_is_broken_is_told_apart() {
        let text = b"0123456789".repeat(1_000);
        assert_eq!(unpack(&text, 100, 9_999), Err(UnpackError::TooLarge));
        assert_eq!(unpack(&packed(&vec![0; 100_000_000]), 8_192, 1_000_000), Err(UnpackError::TooLarge));
        let whole = packed(&text);
        for length in [2, 11, whole.len() / 2, whole.len() - 1] {
            assert_eq!(unpack(&whole[..length], 10, 10_000), Err(UnpackError::Unfinished), "{length}");
        }
        for at in [3, whole.len() / 2, whole.len() - 1, whole.len() - 5] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let error = unpack(&damaged, 10, 10_000).unwrap_err();
            assert!(matches!(error, UnpackError::Damaged(_) | UnpackError::Unfinished), "{at}: {error:?}");
        }
        let more = [&whole[..], b"and something more"].concat();
        assert!(matches!(unpack(&more, 10, 10_000), Err(UnpackError::Damaged(_))));
    }
}
