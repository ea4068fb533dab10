//! The command, called for real.

mod asking;
mod importing;
mod odd_rows;
mod reading;
mod servers;
mod support;
