//! The files of the built page.

/// A file of the page.
#[derive(Debug)]
pub(crate) struct File {
    /// Below the page's folder, such as `assets/index-1a2b3c4d.js`.
    pub(crate) path: &'static str,
    pub(crate) bytes: &'static [u8],
}

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

impl File {
    /// The file at a path below the page's folder.
    pub(crate) fn at(path: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.path == path)
    }

    /// By the ending of its name.
    pub(crate) fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("md") => "text/markdown; charset=utf-8",
            _ => "application/octet-stream",
        }
    }

    /// Whether its name changes with what it holds.
    pub(crate) fn is_immutable(&self) -> bool {
        self.path.starts_with("assets/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_type() {
        for file in FILES {
            assert_ne!(file.content_type(), "application/octet-stream", "{}", file.path);
        }
    }

    #[test]
    fn the_page_names_its_files_relatively_and_all_are_there() {
        let index = std::str::from_utf8(File::at("index.html").unwrap().bytes).unwrap();
        let links: Vec<&str> = index
            .split(['"', ' ', '>'])
            .filter_map(|part| part.strip_prefix("./"))
            .filter(|link| link.starts_with("assets/"))
            .collect();
        assert!(links.len() >= 3, "{links:?}");
        assert!(links.iter().all(|link| File::at(link).is_some()), "{links:?}");
        assert!(!index.contains("=\"/") && !index.contains("://"), "{index}");
    }

    #[test]
    fn the_page_has_neither_script_nor_style_of_its_own() {
        let index = std::str::from_utf8(File::at("index.html").unwrap().bytes).unwrap();
        assert!(!index.contains("<style") && !index.contains("style=") && !index.contains(" on"), "{index}");
        assert!(index.match_indices("<script").all(|(at, _)| index[at..].contains("src=")), "{index}");
    }
}
