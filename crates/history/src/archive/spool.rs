//! Events that wait for the end of their import, in a file.

use std::{
    io::{self, SeekFrom},
    path::PathBuf,
};

use bytes::Bytes;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter},
};

/// In place of a length, where there is no output.
const NONE: u32 = u32::MAX;

/// A file that has no name, and is gone with the process. Events are in it one behind the other: the lengths of the event and of its output,
/// the event, the output.
#[derive(Debug)]
pub(super) struct Spool(BufWriter<File>);

/// A spool that is read from its beginning.
#[derive(Debug)]
pub(super) struct Spooled(BufReader<File>);

// === impl Spool ===

impl Spool {
    pub(super) async fn create(dir: Option<PathBuf>) -> io::Result<Self> {
        let create = move || dir.map_or_else(tempfile::tempfile, tempfile::tempfile_in);
        let file = tokio::task::spawn_blocking(create).await.map_err(io::Error::other)??;
        Ok(Self(BufWriter::new(File::from_std(file))))
    }

    pub(super) async fn write(&mut self, event: &[u8], output: Option<&Bytes>) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        self.0.write_u32(length(event)?).await?;
        self.0.write_u32(output.map_or(Ok(NONE), |output| length(output))?).await?;
        self.0.write_all(event).await?;
        match output {
            Some(output) => self.0.write_all(output).await,
            None => Ok(()),
        }
    }

    pub(super) async fn read(mut self) -> io::Result<Spooled> {
        self.0.flush().await?;
        let mut file = self.0.into_inner();
        file.seek(SeekFrom::Start(0)).await?;
        Ok(Spooled(BufReader::new(file)))
    }
}

// === impl Spooled ===

impl Spooled {
    /// The next event and its output; `None` behind the last one.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Vec<u8>, Option<Bytes>)>> {
        let event = match self.0.read_u32().await {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let output = self.0.read_u32().await?;
        let event = self.bytes(event).await?;
        let output = if output == NONE { None } else { Some(self.bytes(output).await?.into()) };
        Ok(Some((event, output)))
    }

    async fn bytes(&mut self, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).await?;
        Ok(bytes)
    }
}
