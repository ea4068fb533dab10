//! What every crate and the repository say of themselves.

use super::layers::Member;
use super::sources::File;

/// How a crate's README becomes its documentation.
const INCLUDED: &str = r#"#![doc = include_str!("../README.md")]"#;

/// Crates without a README, whose documentation is another text, or that set lints of their own; a changelog
/// without a place for what is not released.
pub(super) fn faults(members: &[Member], files: &[File]) -> Vec<String> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let mut faults = Vec::new();
    for Member { name, folder, .. } in members {
        if text(&format!("{folder}/README.md")).is_none_or(|readme| readme.trim().is_empty()) {
            faults.push(format!("{name} has no README.md"));
        }
        let library = text(&format!("{folder}/src/lib.rs"));
        if library.is_some_and(|source| !source.lines().any(|line| line.trim() == INCLUDED)) {
            faults.push(format!("{folder}/src/lib.rs does not say {INCLUDED}"));
        }
        if !text(&format!("{folder}/Cargo.toml")).is_some_and(inherits_lints) {
            faults.push(format!("{name} does not inherit the workspace's lints"));
        }
    }
    let changelog = text("CHANGELOG.md").unwrap_or_default();
    if !changelog.lines().any(|line| line.trim_end() == "## [Unreleased]") {
        faults.push("CHANGELOG.md has no section ## [Unreleased]".to_owned());
    }
    faults
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Vec<File> {
        [
            ("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n"),
            ("crates/quota-core/Cargo.toml", "[package]\nname = \"quota-core\"\n\n[lints]\nworkspace = true\n"),
            ("crates/quota-core/README.md", "# quota-core\n"),
            ("crates/quota-core/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"),
        ]
        .map(|(path, text)| File { path: path.to_owned(), text: text.to_owned() })
        .into()
    }

    #[test]
    fn a_crate_that_documents_itself_has_no_fault() {
        assert_eq!(faults(&[Member::named("crates/quota-core")], &repository()), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_missing_is_a_fault() {
        for missing in 0..4 {
            let mut files = repository();
            files[missing].text = "something else".to_owned();
            if files[missing].path.ends_with("README.md") {
                files.remove(missing);
            }
            let faults = faults(&[Member::named("crates/quota-core")], &files);
            assert_eq!(faults.len(), 1, "{missing}: {faults:?}");
        }
    }

    #[test]
    fn lints_of_its_own_are_no_inheritance() {
        assert!(inherits_lints("[lints]\n# why\nworkspace = true"));
        assert!(!inherits_lints("[lints]\n[dependencies]\nworkspace = true"));
        assert!(!inherits_lints("[dependencies]\nworkspace = true"));
    }
}
