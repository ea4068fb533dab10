//! Whether a server can keep usage.

use std::cmp::Ordering;

use futures_util::future::try_join;
use quota_core::Detail;
use quota_service::StoreError;
use redis::{Cmd, ErrorKind, Script, Value};

use crate::call_error::CallError;
use crate::connect_error::ConnectError;
use crate::gathering::Gathering;
use crate::keys::KeyPrefix;
use crate::link::{Wire, briefly};
use crate::primaries;
use crate::settings::Settings;
use crate::values::text;

/// The format of the keys that this version writes and knows.
const FORMAT: u64 = 3;

/// Looks at every primary before anything is written there.
pub(crate) async fn check(wire: &Wire, allowed_eviction: Option<&str>) -> Result<(), ConnectError> {
    // One section a command: Redis 6 takes no more.
    for section in ["server", "replication", "memory"] {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        for answer in wire.call_every_primary(&info).await.map_err(reached)? {
            let text = info_text(answer);
            let field = |name: &str| {
                text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':')).map(str::to_owned)
            };
            check_section(section, field, allowed_eviction)?;
        }
    }
    Ok(())
}

fn check_section(
    section: &str,
    field: impl Fn(&str) -> Option<String>,
    allowed_eviction: Option<&str>,
) -> Result<(), ConnectError> {
    match section {
        "server" => {
            // Valkey says which Redis it is compatible with.
            let found = field("redis_version").unwrap_or_default();
            if is_old(&found) { Err(ConnectError::TooOld { found }) } else { Ok(()) }
        }
        "replication" => match field("role").as_deref() {
            Some("slave" | "replica") => Err(ConnectError::Replica),
            _ => Ok(()),
        },
        _ => match field("maxmemory_policy") {
            Some(policy) if policy != "noeviction" && allowed_eviction != Some(policy.as_str()) => {
                Err(ConnectError::Evicts { policy })
            }
            _ => Ok(()),
        },
    }
}

fn is_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    (major, minor) < (6, 2)
}

/// Whether a store was opened here before.
pub(crate) async fn has_format(wire: &Wire, prefix: &KeyPrefix) -> Result<bool, ConnectError> {
    let mut exists = redis::cmd("EXISTS");
    exists.arg(prefix.format());
    Ok(wire.call(&exists).await.map_err(reached)? == Value::Int(1))
}

/// Writes the format's number where there is none, which a read-only or full server refuses, and reads it.
pub(crate) async fn check_format(wire: &Wire, prefix: &KeyPrefix) -> Result<(), ConnectError> {
    let key = prefix.format();
    let (mut set, mut get) = (redis::cmd("SET"), redis::cmd("GET"));
    set.arg(&key).arg(FORMAT).arg("NX");
    get.arg(&key);
    wire.call(&set).await.map_err(reached)?;
    let found = wire.call(&get).await;
    let foreign = || ConnectError::Foreign { key: key.clone() };
    let found = match found {
        Err(CallError::Refused(error)) if error.code() == Some("WRONGTYPE") => return Err(foreign()),
        other => other.map_err(reached)?,
    };
    let found = text(found).ok().flatten().ok_or_else(foreign)?;
    let found: u64 = found.parse().map_err(|_| foreign())?;
    match found.cmp(&FORMAT) {
        Ordering::Less => Err(ConnectError::Older { found, known: FORMAT }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(ConnectError::Newer { found, known: FORMAT }),
    }
}

/// Notes the level of detail where none is noted yet, and says which it is: that of whoever made the store. `wanted` is
/// what was asked for, if anything was.
pub(crate) async fn check_detail(
    wire: &Wire,
    prefix: &KeyPrefix,
    wanted: Option<Detail>,
) -> Result<Detail, ConnectError> {
    let key = prefix.detail();
    let (mut set, mut get) = (redis::cmd("SET"), redis::cmd("GET"));
    set.arg(&key).arg(name(wanted.unwrap_or(Detail::Quarters))).arg("NX");
    get.arg(&key);
    wire.call(&set).await.map_err(reached)?;
    let noted = text(wire.call(&get).await.map_err(reached)?).ok().flatten().unwrap_or_default();
    let found = [Detail::Quarters, Detail::Entries].into_iter().find(|detail| name(*detail) == noted);
    let found = found.ok_or(ConnectError::Foreign { key })?;
    match wanted {
        Some(wanted) if wanted != found => Err(ConnectError::OtherDetail { found: name(found) }),
        _ => Ok(found),
    }
}

/// Notes format and detail again where the servers have lost them with all else, before they have a client again: whoever
/// opens the store later finds the same.
///
/// # Errors
/// Also where another process has made another store there meanwhile.
pub(crate) async fn note_again(gathering: &Gathering<'_>, settings: &Settings) -> Result<(), StoreError> {
    let format = FORMAT.to_string();
    let format = note(gathering, settings.prefix.format(), &format);
    try_join(format, note(gathering, settings.prefix.detail(), name(settings.detail))).await.map(drop)
}

/// The same in a cluster, where they stand on primaries that may be silent when the client's own is not: it does not wait long for
/// these, or not at all. What was not noted in time may be, and is so with the next new client.
///
/// # Errors
/// Where it is seen in time that another process has made another store there meanwhile.
pub(crate) async fn note_beside(wire: &Wire, settings: &Settings) -> Result<(), StoreError> {
    if wire.is_silent(|| settings.prefix.format()) || wire.is_silent(|| settings.prefix.detail()) {
        return Ok(());
    }
    let (wire, settings) = (wire.clone(), settings.clone());
    let noting = async move {
        let gathering = Gathering::new(&wire);
        gathering.run(note_again(&gathering, &settings)).await
    };
    match briefly(noting).await {
        // It could not be asked.
        None | Some(Err(StoreError::NotDone { source: Some(_), .. })) => Ok(()),
        Some(noted) => noted,
    }
}

async fn note(gathering: &Gathering<'_>, key: String, wanted: &str) -> Result<(), StoreError> {
    let (mut set, mut get) = (redis::cmd("SET"), redis::cmd("GET"));
    set.arg(&key).arg(wanted).arg("NX");
    get.arg(&key);
    let ask = async |command: &Cmd| gathering.call(command.clone()).await.map_err(CallError::of_read);
    let mut found = text(ask(&get).await?)?;
    if found.is_none() {
        ask(&set).await?;
        found = text(ask(&get).await?)?;
    }
    if found.as_deref() == Some(wanted) {
        return Ok(());
    }
    Err(StoreError::NotDone { message: is_anothers(&key), source: None })
}

/// What to do where this shows that the store is not the one that was opened.
pub(crate) fn is_anothers(shown_by: &str) -> String {
    format!("the servers have lost all, and are another store's now ({shown_by}): open this one again")
}

/// As in a URL.
const fn name(detail: Detail) -> &'static str {
    match detail {
        Detail::Quarters => "quarters",
        Detail::Entries => "entries",
    }
}

/// Tries what commits do, where nobody sees it, on every primary, for each has an access list of its own; and whether
/// replicas may be waited for, if they are to be.
pub(crate) async fn check_rights(wire: &Wire, prefix: &KeyPrefix, waits: bool) -> Result<(), ConnectError> {
    let keys = if wire.is_cluster() { on_every_primary(wire, prefix).await? } else { vec![prefix.check()] };
    let text = include_str!("check.lua");
    let digest = Script::new(text).get_hash().to_owned();
    // As commits are called, with an answer that the server does not know the digest.
    let ways = [("EVALSHA", digest.as_str()), ("EVAL", text)];
    let call = |key: &str, (name, script): (&str, &str)| {
        let mut call = redis::cmd(name);
        call.arg(script).arg(1).arg(key);
        call
    };
    let calls = keys.iter().flat_map(|key| ways.map(|way| call(key, way))).collect();
    for answer in wire.call_each(calls).await {
        if !answer.as_ref().is_err_and(CallError::is_no_script) {
            answer.map_err(reached)?;
        }
    }
    if waits {
        let mut wait = redis::cmd("WAIT");
        wait.arg(0).arg(1);
        wire.call_every_primary(&wait).await.map_err(reached)?;
    }
    Ok(())
}

/// Keys for a moment, one on each primary of a cluster.
async fn on_every_primary(wire: &Wire, prefix: &KeyPrefix) -> Result<Vec<String>, ConnectError> {
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    let tags = primaries::tags(&wire.call(&slots).await.map_err(reached)?);
    let odd = || (ErrorKind::UnexpectedReturnType, "CLUSTER SLOTS tells no slots");
    let tags = tags.ok_or_else(|| ConnectError::Server(odd().into()))?;
    Ok(tags.iter().map(|tag| prefix.check_beside(tag)).collect())
}

fn reached(error: CallError) -> ConnectError {
    match &error {
        CallError::Refused(refused) if refused.code() == Some("READONLY") => ConnectError::Replica,
        _ => redis::RedisError::from(error).into(),
    }
}

fn info_text(answer: Value) -> String {
    match answer {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_6_2_are_too_old() {
        for (version, old) in [("6.0.16", true), ("5.0", true), ("6.2.0", false), ("7.2.4", false), ("10.0.0", false)] {
            assert_eq!(is_old(version), old, "{version}");
        }
        assert!(is_old("") && is_old("x"));
    }
}
