//! The command, called for real.

mod importing;
mod reading;
mod servers;
mod support;
