//! Places for stores on the servers that tests share.

use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
use quota_servers::Server;

use crate::support::{name, runtime};

/// Runs a test on the URL of a place where no store is and no other test makes one, unless there is no such server: a
/// schema, a database, or a prefix. In Redis every entry is kept.
pub(crate) fn at_new_place(server: Server, test: impl FnOnce(&str)) {
    let Some(url) = quota_servers::url(server) else { return };
    let name = name();
    match server {
        Server::Postgres => {
            execute(&url, &[format!("CREATE SCHEMA {name}")]);
            test(&format!("{url}?options=-csearch_path%3D{name}"));
            execute(&url, &[format!("DROP SCHEMA {name} CASCADE")]);
        }
        Server::Mysql => {
            execute(&url, &[format!("CREATE DATABASE {name}")]);
            test(&in_database(&url, &name));
            execute(&url, &[format!("DROP DATABASE {name}")]);
        }
        Server::Mongodb => {
            test(&in_database(&url, &name));
            runtime().block_on(async {
                let client = mongodb::Client::with_uri_str(&url).await.unwrap();
                client.database(&name).drop().await.unwrap();
            });
        }
        Server::Redis | Server::RedisCluster => test(&format!("{url}?detail=entries&prefix={name}")),
    }
}

/// Runs statements, one by one, on PostgreSQL or MySQL.
pub(crate) fn execute(url: &str, statements: &[String]) {
    runtime().block_on(async {
        if url.starts_with("mysql:") {
            let mut connection = AsyncMysqlConnection::establish(url).await.unwrap();
            for statement in statements {
                connection.batch_execute(statement).await.unwrap();
            }
        } else {
            let mut connection = AsyncPgConnection::establish(url).await.unwrap();
            for statement in statements {
                connection.batch_execute(statement).await.unwrap();
            }
        }
    });
}

fn in_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
