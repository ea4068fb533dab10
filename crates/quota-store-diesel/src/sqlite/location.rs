//! The file, and how SQLite is told to open it.

use std::path::{Path, PathBuf};

use crate::open_error::OpenError;

/// A database file.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    path: PathBuf,
    /// As SQLite's `file:` URIs want it, without the query.
    uri: String,
}

impl Location {
    /// Takes a path. As a URI it means itself even where it begins with `file:` or holds a `?`.
    pub(crate) fn new(path: &Path) -> Result<Self, OpenError> {
        let invalid = || OpenError::InvalidPath { path: path.to_owned() };
        if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
            return Err(invalid());
        }
        // The directory may change under a process; the file must not.
        let path_of_file = std::path::absolute(path).map_err(|_| invalid())?;
        let text = path_of_file.to_str().ok_or_else(invalid)?;
        if text.contains('\0') {
            return Err(invalid());
        }
        let slashes = if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() };
        let mut uri = String::from(if slashes.starts_with('/') { "file:" } else { "file:/" });
        for character in slashes.chars() {
            match character {
                '%' => uri.push_str("%25"),
                '?' => uri.push_str("%3f"),
                '#' => uri.push_str("%23"),
                other => uri.push(other),
            }
        }
        Ok(Self { path: path_of_file, uri })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file if there is none.
    pub(crate) fn create_uri(&self) -> String {
        format!("{}?mode=rwc", self.uri)
    }

    /// Does not make a file.
    pub(crate) fn existing_uri(&self) -> String {
        format!("{}?mode=rw", self.uri)
    }
}
