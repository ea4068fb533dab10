#![doc = include_str!("../README.md")]

#[doc = include_str!("../../docs/coming-from-flask.md")]
pub mod coming_from_flask {}
