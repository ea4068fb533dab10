//! A server of one's own.

use std::path::Path;

use crate::cluster;
use crate::error::ServerError;
use crate::mariadb::Mariadb;
use crate::mongodb::Mongodb;
use crate::node::Node;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::server::Server;

/// A server that was started for its owner alone, in temporary folders and on free ports of the loopback interface.
///
/// It ends when it is dropped, and where the system can tell (Linux, with `setpriv`) also when its owner is killed.
#[derive(Debug)]
pub struct PrivateServer {
    server: Server,
    url: String,
    nodes: Vec<Node>,
}

impl PrivateServer {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// [`ServerError::Missing`] where it is not installed; what its log says where it does not start.
    pub fn start(server: Server) -> Result<Self, ServerError> {
        let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        let with_password = |scheme, port| format!("{scheme}://quota:{secret}@127.0.0.1:{port}/quota");
        let (url, nodes) = match server {
            Server::Postgres => {
                let node = Node::start(Postgres::new(secret.clone()))?;
                (with_password("postgres", node.port()), vec![node])
            }
            Server::Mysql => {
                let node = Node::start(Mariadb::new(secret.clone()))?;
                (with_password("mysql", node.port()), vec![node])
            }
            Server::Redis => {
                let node = Node::start(Redis::single())?;
                (format!("redis://127.0.0.1:{}/0", node.port()), vec![node])
            }
            Server::RedisCluster => {
                let nodes = cluster::start()?;
                (cluster::url(&nodes), nodes)
            }
            Server::Mongodb => {
                let node = Node::start(Mongodb)?;
                (format!("mongodb://127.0.0.1:{}/quota", node.port()), vec![node])
            }
        };
        Ok(Self { server, url, nodes })
    }

    /// Its kind.
    #[must_use]
    pub const fn server(&self) -> Server {
        self.server
    }

    /// Where it is reached, with the password if it has one. The same after a restart.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its processes: one; of a cluster six, of which the first three began as primaries.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Its processes, to be killed and restarted one by one.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// What its processes wrote of themselves.
    pub fn logs(&self) -> impl Iterator<Item = &Path> {
        self.nodes.iter().map(Node::log)
    }

    /// Ends all its processes by SIGKILL.
    pub fn kill(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
    }

    /// Starts all its processes again, on the same data and the same ports.
    ///
    /// # Errors
    /// One that ends by itself, or does not answer within a minute.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.nodes.iter_mut().try_for_each(Node::restart)?;
        if self.server == Server::RedisCluster { cluster::wait_until_healthy(&self.nodes) } else { Ok(()) }
    }

    /// Stops all its processes: connections stay open, and nothing answers.
    pub fn pause(&self) {
        self.nodes.iter().for_each(Node::pause);
    }

    /// Lets them go on after [`PrivateServer::pause`].
    pub fn resume(&self) {
        self.nodes.iter().for_each(Node::resume);
    }
}
