//! Connections to MongoDB.

use std::time::Duration;

use anyhow::{Context, anyhow};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use crate::postgres::check_rest;

/// How long a server is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database that is not asked yet: the one that is named, else the URL's.
///
/// # Errors
/// The URL is malformed, or names no database where none is named beside it.
pub(crate) async fn database(url: &str, name: Option<&str>) -> anyhow::Result<(Database, String)> {
    if url.starts_with("mongodb+srv:") {
        return Err(quota_stores::ConnectError::NoServiceRecords.into());
    }
    let mut options = ClientOptions::parse(url).await.map_err(|_| malformed(url))?;
    options.server_selection_timeout.get_or_insert(PATIENCE);
    options.connect_timeout.get_or_insert(PATIENCE);
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    let server = format!("MongoDB at {}", hosts.join(","));
    let name = name.map(str::to_owned).or_else(|| options.default_database.clone());
    let name = name.context("a source in MongoDB needs --database, or one in its URL")?;
    let client = Client::with_options(options).map_err(|error| cause(&error, &server))?;
    Ok((client.database(&name), server))
}

/// What is wrong with a URL that the driver does not take. What it says itself may repeat the URL, password and all.
fn malformed(url: &str) -> anyhow::Error {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let behind_user = rest.split_once('@').map_or("", |(_, behind)| behind);
    let behind_host = rest.find(['/', '?', '#']).and_then(|end| rest.get(end..)).unwrap_or_default();
    let checked = check_rest(behind_user).and_then(|()| check_rest(behind_host));
    checked.err().unwrap_or_else(|| {
        anyhow!("its URL is malformed: it is mongodb://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?OPTIONS]")
    })
}

/// What an error of the driver comes to, and what to do.
pub(crate) fn cause(error: &Error, server: &str) -> anyhow::Error {
    let words = words(error);
    match &*error.kind {
        ErrorKind::Authentication { .. } => refused(server, &words),
        // AuthenticationFailed; Unauthorized.
        ErrorKind::Command(command) if command.code == 18 => refused(server, &words),
        ErrorKind::Command(command) if command.code == 13 => {
            anyhow!("the user at {server} lacks a right: {words}: grant it read on the database")
        }
        ErrorKind::ServerSelection { .. } | ErrorKind::Io(_) => anyhow!("{server} cannot be reached: {words}"),
        _ => anyhow!("{server} failed: {words}"),
    }
}

/// An error of the driver without its dump of everything that it knows.
pub(crate) fn words(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::Authentication { message, .. } => message.trim_end_matches('.').to_owned(),
        ErrorKind::Command(command) => format!("{} ({})", command.message.trim_end_matches('.'), command.code_name),
        ErrorKind::ServerSelection { .. } => {
            "no server answers: check host, port, replicaSet and tls in the URL".to_owned()
        }
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::InvalidTlsConfig { message, .. } => format!("no encrypted connection: {message}"),
        ErrorKind::Write(_) | ErrorKind::InsertMany(_) | ErrorKind::BulkWrite(_) => "it refused a write".to_owned(),
        kind => kind.to_string(),
    }
}

fn refused(server: &str, words: &str) -> anyhow::Error {
    anyhow!("{server} refuses the user: {words}: check user, password and authSource in the URL")
}
