//! Files of one JSON object a line.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

/// The objects of a file, with their lines.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    objects: Vec<(usize, Map<String, Value>)>,
}

/// Why a file of vectors cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinesError {
    /// It could not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// There is nothing in it, so nothing would be proved.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Lines {
    /// Reads a file; blank lines are skipped.
    ///
    /// # Errors
    /// [`LinesError`] where it cannot be read, is empty, or a line is no JSON object.
    pub fn read(path: &Path) -> Result<Self, LinesError> {
        let unreadable = |source| LinesError::Unreadable { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let mut lines = Self { path: path.to_owned(), objects: Vec::new() };
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let place = number.saturating_add(1);
            let object = serde_json::from_slice(line).map_err(|error| lines.malformed(place, &error.to_string()))?;
            lines.objects.push((place, object));
        }
        if lines.objects.is_empty() { Err(LinesError::Empty { path: lines.path }) } else { Ok(lines) }
    }

    /// How many objects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.objects.len()
    }

    /// Never: an empty file is an error.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Map<String, Value>)> {
        self.objects.iter().map(|(line, object)| (*line, object))
    }

    pub(super) fn malformed(&self, line: usize, message: &str) -> LinesError {
        LinesError::Malformed { path: self.path.clone(), line, message: message.to_owned() }
    }
}
