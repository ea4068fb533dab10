//! A server of one's own.

use std::path::{Path, PathBuf};

use crate::cluster;
use crate::encrypted::{self, Encrypted, Encryption};
use crate::error::ServerError;
use crate::mariadb::Mariadb;
use crate::mongodb::Mongodb;
use crate::node::Node;
use crate::postgres::Postgres;
use crate::programs;
use crate::recipe::Recipe;
use crate::redis::Redis;
use crate::sentinel;
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
        let secret = secret();
        let (url, nodes) = match server {
            Server::Postgres => {
                let node = Node::start(Postgres::new(secret.clone()))?;
                (with_password("postgres", &secret, node.port()), vec![node])
            }
            Server::Mysql => {
                let node = Node::start(Mariadb::new(secret.clone()))?;
                (with_password("mysql", &secret, node.port()), vec![node])
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
                let node = Node::start(Mongodb::open())?;
                (format!("mongodb://127.0.0.1:{}/quota", node.port()), vec![node])
            }
        };
        Ok(Self { server, url, nodes })
    }

    /// Starts one whose URL asks for an encrypted connection. Its certificate, for `127.0.0.1` and not for
    /// `localhost`, is signed by an authority that nobody knows ([`PrivateServer::authority`]).
    ///
    /// A cluster has one primary alone.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub fn start_encrypted(server: Server) -> Result<Self, ServerError> {
        let secret = secret();
        let start = |recipe: Box<dyn Recipe>, encryption| Node::start(Encrypted { recipe, encryption });
        let (url, node) = match server {
            Server::Postgres => {
                let node = start(Box::new(Postgres::new(secret.clone())), Encryption::Postgres)?;
                (format!("{}?sslmode=require", with_password("postgres", &secret, node.port())), node)
            }
            Server::Mysql => {
                let node = start(Box::new(Mariadb::new(secret.clone())), Encryption::Mariadb)?;
                (format!("{}?require_ssl=true", with_password("mysql", &secret, node.port())), node)
            }
            Server::Redis => {
                let node = start(Box::new(Redis::single()), Encryption::Redis)?;
                (format!("rediss://127.0.0.1:{}/0", node.encrypted()), node)
            }
            Server::Mongodb => {
                let (_, is_mongod) = programs::mongodb()?;
                let encryption = if is_mongod { Encryption::Mongod } else { Encryption::MongoReplacement };
                let node = start(Box::new(Mongodb::open()), encryption)?;
                (format!("mongodb://127.0.0.1:{}/quota?tls=true", node.port()), node)
            }
            Server::RedisCluster => {
                let node = cluster::start_encrypted()?;
                (format!("rediss+cluster://127.0.0.1:{}", node.encrypted()), node)
            }
        };
        Ok(Self { server, url, nodes: vec![node] })
    }

    /// Starts a Redis with a replica, and a Sentinel that watches them and wants this password. Its URL names the Sentinel,
    /// without the password.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub fn start_sentinel(password: &str) -> Result<Self, ServerError> {
        let nodes = sentinel::start(password)?;
        let port = nodes.last().map_or(0, Node::port);
        Ok(Self {
            server: Server::Redis,
            url: format!("redis+sentinel://127.0.0.1:{port}/{}", sentinel::MASTER),
            nodes,
        })
    }

    /// Starts a MongoDB that asks for a user and a password, and takes the commands that are for tests alone
    /// (`configureFailPoint`). It knows nobody yet: whoever connects from this machine may make the first user, in the
    /// database `admin`. Its URL names none.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub fn start_guarded() -> Result<Self, ServerError> {
        let node = Node::start(Mongodb::guarded())?;
        let url = format!("mongodb://127.0.0.1:{}/quota", node.port());
        Ok(Self { server: Server::Mongodb, url, nodes: vec![node] })
    }

    /// Where the certificate (PEM) of the authority is that signed for an encrypted server.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.nodes.first().map(|node| encrypted::authority(node.folder())).unwrap_or_default()
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

    /// Its processes: one; of a cluster six, of which the first three began as primaries; a primary, its replica and their
    /// Sentinel.
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
        self.wait_until_healthy()
    }

    /// Waits until a cluster is in order, as after one of its servers was killed and restarted: every server finds it so, and
    /// every replica follows its primary. Any other server is in order when it has started.
    ///
    /// # Errors
    /// [`ServerError::Silent`] where it is not within a minute.
    pub fn wait_until_healthy(&self) -> Result<(), ServerError> {
        let is_whole_cluster = self.server == Server::RedisCluster && self.nodes.len() > 1;
        if is_whole_cluster { cluster::wait_until_healthy(&self.nodes) } else { Ok(()) }
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

fn secret() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(20).collect()
}

fn with_password(scheme: &str, secret: &str, port: u16) -> String {
    format!("{scheme}://quota:{secret}@127.0.0.1:{port}/quota")
}
