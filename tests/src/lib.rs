#![doc = include_str!("../README.md")]

#[doc = include_str!("../../docs/coming-from-flask.md")]
pub mod coming_from_flask {}

#[doc = include_str!("../../docs/behind-a-proxy.md")]
pub mod behind_a_proxy {}

#[doc = include_str!("../../README.md")]
pub mod readme {}
