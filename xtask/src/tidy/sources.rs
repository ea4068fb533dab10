//! What stands in files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// A text file of the repository.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Lines of a source, tests and benchmarks aside.
const MOST_LINES: usize = 400;

/// What must not stand in a Rust source, and why. Written in two parts so that this file does not hold it.
const FORBIDDEN: [(&str, &str); 5] = [
    (concat!("todo", "!("), "finish it"),
    (concat!("unimplemented", "!("), "finish it"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("#[", "allow("), "expect it with a reason"),
    (concat!("#![", "allow("), "expect it with a reason"),
];

/// Folders of one machine.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/tmp/", "notes"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Folders whose files are made, not written.
const MADE: [&str; 3] = ["target", ".git", "node_modules"];

/// Every text file of the repository: those that git tracks, or all that are written by hand where `root` is no checkout.
/// Databases and other binary files are left out.
pub(super) fn read(root: &Path) -> anyhow::Result<Vec<File>> {
    let paths = match tracked(root) {
        Some(paths) => paths,
        None => walked(root)?,
    };
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        if let Ok(text) = String::from_utf8(std::fs::read(&path).with_context(|| path.display().to_string())?) {
            let relative = path.strip_prefix(root)?.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            files.push(File { path: relative, text });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// What git tracks and is there; none where there is no git, or nothing is tracked.
fn tracked(root: &Path) -> Option<Vec<PathBuf>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().ok()?;
    let list = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(listed(root, &list)).filter(|paths| !paths.is_empty())
}

/// The files of a list with a NUL after each; those that were removed and not yet committed are left out.
fn listed(root: &Path, list: &str) -> Vec<PathBuf> {
    list.split_terminator('\0').map(|path| root.join(path)).filter(|path| path.is_file()).collect()
}

/// Every file below `root`, those below made folders left out.
fn walked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !MADE.iter().any(|made| entry.file_name() == *made) {
                    folders.push(path);
                }
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Sources that are too long, unfinished or silence a lint, and files that name folders of one machine.
pub(super) fn faults(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let is_source = file.path.ends_with(".rs");
        let lines = file.text.lines().count();
        if is_source && !is_test(&file.path) && lines > MOST_LINES {
            faults.push(format!("{}: {lines} lines are more than {MOST_LINES}", file.path));
        }
        for (number, line) in file.text.lines().enumerate() {
            let place = format!("{}:{}", file.path, number + 1);
            let forbidden = FORBIDDEN.iter().filter(|(text, _)| is_source && line.contains(text));
            faults.extend(forbidden.map(|(text, advice)| format!("{place}: {text}: {advice}")));
            let machine = MACHINE_PATHS.iter().filter(|path| line.contains(*path));
            faults.extend(machine.map(|path| format!("{place}: {path} is a folder of one machine")));
        }
    }
    faults
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|folder| matches!(folder, "tests" | "benches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(path: &str, text: &str) -> Vec<String> {
        faults(&[File { path: path.to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn a_long_source_is_a_fault_and_a_long_test_is_none() {
        assert_eq!(faults_of("crates/a/src/lib.rs", &"\n".repeat(400)).len(), 0);
        assert_eq!(faults_of("crates/a/src/lib.rs", &"\n".repeat(401)).len(), 1);
        assert_eq!(faults_of("crates/a/tests/all.rs", &"\n".repeat(401)).len(), 0);
        assert_eq!(faults_of("notes.md", &"\n".repeat(401)).len(), 0);
    }

    #[test]
    fn unfinished_and_silenced_sources_are_faults() {
        for (text, _) in FORBIDDEN {
            let faults = faults_of("src/lib.rs", &format!("\n    {text}dead_code)"));
            assert_eq!(faults.len(), 1, "{text}");
            assert!(faults[0].starts_with("src/lib.rs:2: "), "{faults:?}");
            assert_eq!(faults_of("README.md", text).len(), 0);
        }
    }

    #[test]
    fn folders_of_one_machine_are_faults_in_any_file() {
        for path in MACHINE_PATHS {
            assert_eq!(faults_of("README.md", &format!("see {path}x")).len(), 1, "{path}");
        }
    }

    #[test]
    fn files_are_found_below_the_root_but_not_below_made_folders() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src/deep", "target/debug"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["src/deep/a.rs", "target/debug/b.rs", "README.md"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        std::fs::write(root.path().join("binary"), [0xff, 0xfe]).unwrap();
        let paths: Vec<String> = read(root.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["README.md", "src/deep/a.rs"]);
    }

    #[test]
    fn only_files_that_git_lists_and_that_are_there_are_taken() {
        let root = tempfile::tempdir().unwrap();
        for file in ["tracked, with a blank.rs", "scratch.rs"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        let paths = listed(root.path(), "tracked, with a blank.rs\0removed.rs\0");
        assert_eq!(paths, [root.path().join("tracked, with a blank.rs")]);
    }
}
