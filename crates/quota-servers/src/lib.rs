#![doc = include_str!("../README.md")]

mod cluster;
#[expect(clippy::panic, reason = "a suite fails whose required server is missing")]
mod declared;
mod encrypted;
mod error;
mod family;
mod launch;
mod log;
mod mariadb;
mod mongodb;
mod node;
mod own_name;
mod ports;
mod postgres;
mod private_server;
mod programs;
mod recipe;
mod redis;
mod relay;
mod resp;
mod sentinel;
mod server;

pub use crate::declared::{private, private_encrypted, private_guarded, private_sentinel, url};
pub use crate::encrypted::another_authority;
pub use crate::error::ServerError;
pub use crate::node::Node;
pub use crate::own_name::own_name;
pub use crate::private_server::PrivateServer;
pub use crate::programs::{MongoReplacement, has_mongod, missing};
pub use crate::relay::Relay;
pub use crate::server::{REQUIRED, Server};
