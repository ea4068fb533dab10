//! A folder with stores, and the command.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The URL of a file in it.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

pub(crate) fn quota(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quota")).args(arguments).output().unwrap()
}

/// What it prints when it succeeds.
pub(crate) fn told(arguments: &[&str]) -> String {
    let output = quota(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    assert_eq!(errors, "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn json(arguments: &[&str]) -> Value {
    let told = told(&[arguments, &["--json"]].concat());
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// What it says when it fails.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let output = quota(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}
