#![doc = include_str!("../README.md")]

mod dashboard;
mod file;
mod page_headers;

pub use crate::dashboard::{Dashboard, PageRequest};
