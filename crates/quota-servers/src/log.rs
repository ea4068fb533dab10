//! What a server wrote of itself.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::ServerError;

/// Lines of a log that an error shows.
const SHOWN: usize = 60;

/// To be written at its end.
pub(crate) fn open(path: &Path) -> Result<File, ServerError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(ServerError::file(path))
}

/// Its length at this moment.
pub(crate) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// What was written after the first `start` bytes.
pub(crate) fn since(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)
    });
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines.
pub(crate) fn tail(path: &Path) -> String {
    let text = since(path, 0);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n")
}
