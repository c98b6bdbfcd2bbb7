//! A file of the web as a stream that blocks: what `import` reads from a URL.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::runtime::Runtime;

use super::registry::{BlobStream, Client};
use crate::engine::error::{Attempt, Result};

/// The rest of a download. Its connection is looked after while somebody reads.
#[derive(Debug)]
pub struct Download {
    runtime: Runtime,
    stream: BlobStream,
    current: Bytes,
}

impl Download {
    /// Opens a URL.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub fn open(client: &Client, url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .attempt(|| "start the network runtime")?;
        let stream = runtime.block_on(client.fetch(url))?;
        Ok(Self {
            runtime,
            stream,
            current: Bytes::new(),
        })
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Ok(Some(bytes)) => self.current = bytes,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
