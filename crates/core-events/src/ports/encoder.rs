use bytes::BytesMut;

use crate::{Cursor, Record};

/// Turns records into the bytes of one transport. Each record is encoded once per view and shared (I3).
pub trait Encoder: Send + Sync + std::fmt::Debug {
    /// Names the form. Two encoders with the same id write the same bytes; views are shared by it.
    fn id(&self) -> &str;

    /// Appends `record`, which stands at `cursor`, to `out`.
    fn encode(&self, record: &Record, cursor: &Cursor, out: &mut BytesMut);

    /// Appends an ephemeral event, which has no place in the log and so no cursor (I8), to `out`.
    fn encode_ephemeral(&self, json: &[u8], out: &mut BytesMut);
}
