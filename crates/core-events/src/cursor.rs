//! Positions in the log (I7).

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Position in the whole log, over all runs: 1 for the first record. 0 stands before it.
pub type Offset = u64;

/// Position in the log of one root run: 1, 2, 3, … without a hole (I1).
pub type Seq = u64;

/// Names one life of a log: `[0-9a-z]{1,32}`.
///
/// It changes when the log can't prove that it holds all it handed out; an [`Offset`] means something only
/// together with its epoch.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

/// An opaque position that means the same on every transport: `<epoch>-<offset>`.
///
/// A cursor is a promise (I8): everything that matched, up to this position, has been delivered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The log's life.
    pub epoch: Epoch,
    /// The position in it; 0 is before the first record.
    pub offset: Offset,
}

/// Why a text is no [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not of the form `<epoch>-<offset>`.
    #[error("a cursor has the form <epoch>-<offset>; use one exactly as a stream handed it out")]
    Form,
    /// The epoch part is malformed.
    #[error(
        "the epoch of a cursor has 1 to 32 characters 0-9 a-z; use a cursor exactly as a stream handed it out"
    )]
    Epoch,
    /// The offset part is no decimal number of 64 bits.
    #[error("the offset of a cursor is a decimal number; use a cursor exactly as a stream handed it out")]
    Offset,
}

// === impl Epoch ===

impl Epoch {
    /// A new life: 12 random characters.
    #[must_use]
    pub fn random() -> Self {
        let mut text = uuid::Uuid::new_v4().simple().to_string();
        text.truncate(12);
        Self(text.into())
    }

    /// Checks and wraps `text`.
    ///
    /// # Errors
    ///
    /// [`CursorError::Epoch`] when it isn't `[0-9a-z]{1,32}`.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let valid = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if valid { Ok(Self(text.into())) } else { Err(CursorError::Epoch) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The cursor of `offset` in this life.
    #[must_use]
    pub fn at(&self, offset: Offset) -> Cursor {
        Cursor { epoch: self.clone(), offset }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Cursor ===

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, offset) = text.split_once('-').ok_or(CursorError::Form)?;
        let epoch = Epoch::parse(epoch)?;
        // One spelling per position, so that cursors can be compared as text.
        let canonical = !offset.is_empty()
            && offset.bytes().all(|b| b.is_ascii_digit())
            && (offset.len() == 1 || !offset.starts_with('0'));
        match offset.parse() {
            Ok(offset) if canonical => Ok(Self { epoch, offset }),
            _ => Err(CursorError::Offset),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_cursors_say_what_is_wrong() {
        for (text, error) in [
            ("", CursorError::Form),
            ("abc", CursorError::Form),
            ("-1", CursorError::Epoch),
            ("AB-1", CursorError::Epoch),
            ("ab-", CursorError::Offset),
            ("ab-x", CursorError::Offset),
            ("ab--1", CursorError::Offset),
            ("ab-+1", CursorError::Offset),
            ("ab-01", CursorError::Offset),
            ("ab-99999999999999999999999", CursorError::Offset),
            ("ab-1\n", CursorError::Offset),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip(epoch in "[0-9a-z]{1,32}", offset: u64) {
            let cursor = Epoch::parse(&epoch).unwrap().at(offset);
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }
    }
}
