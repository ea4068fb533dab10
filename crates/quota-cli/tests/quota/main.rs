//! The command, called for real.

mod asking;
#[cfg(feature = "tls")]
mod encrypting;
mod importing;
mod odd_rows;
mod reading;
mod servers;
mod support;
