//! The example does what its README says, called over HTTP.
#![cfg(unix)]

quickstart_shared::quickstart_tests!(env!("CARGO_BIN_EXE_quickstart-rocket"));
