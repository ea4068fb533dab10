//! The file, and how SQLite is told to open it.

use std::path::{Path, PathBuf};

use crate::open_error::OpenError;

/// By what a file is known whatever its name: its device and its number there.
pub(crate) type FileId = (u64, u64);

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
        // With an authority that is empty: where the path begins with two slashes, its first folder would be taken for one.
        let mut uri = String::from(if slashes.starts_with('/') { "file://" } else { "file:///" });
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

    /// Which file stands there now; none where there is none, or the system tells files apart otherwise.
    pub(crate) fn file(&self) -> Option<FileId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(&self.path).ok().map(|file| (file.dev(), file.ino()))
        }
        #[cfg(not(unix))]
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_is_an_authority() {
        for (path, uri) in [
            ("/a/b.db", "file:///a/b.db"),
            ("//localhost/b.db", "file:////localhost/b.db"),
            ("/a?b#c%20", "file:///a%3fb%23c%2520"),
        ] {
            let location = Location::new(Path::new(path)).unwrap();
            assert_eq!(location.existing_uri(), format!("{uri}?mode=rw"));
        }
    }
}
