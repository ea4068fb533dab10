//! A client's ledger at one version of its account.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::try_join_all;
use quota_service::StoreError;
use redis::{Cmd, Value};

use crate::call_error::CallError;
use crate::keys::{ClientKeys, Key};
use crate::link::Wire;
use crate::reading::command;
use crate::values::text;
use crate::version::version_of;

/// A client's ledger at one version of its account, for a commit on that version.
///
/// What is read tells its version. The commit alone would tell it of the server that it goes to, and that may be another: after a
/// failover, connections that nobody used meanwhile may lead to the old primary, which answers until it hears of the new one.
pub(crate) struct AtVersion<'a> {
    wire: &'a Wire,
    /// For long answers.
    reading: &'a Wire,
    pub(crate) keys: &'a ClientKeys,
    version: &'a str,
    is_other: AtomicBool,
}

/// So many commands are one step: the server does nothing else meanwhile.
const COMMANDS_AT_ONCE: usize = 32;

impl<'a> AtVersion<'a> {
    /// `version` is empty where there is no account.
    pub(crate) const fn new(wire: &'a Wire, reading: &'a Wire, keys: &'a ClientKeys, version: &'a str) -> Self {
        Self { wire, reading, keys, version, is_other: AtomicBool::new(false) }
    }

    /// Whether something was not read since the account is at another version.
    pub(crate) fn is_other(&self) -> bool {
        self.is_other.load(Ordering::Relaxed)
    }

    /// Reads one thing.
    ///
    /// # Errors
    /// [`StoreError`], also where the account is at another version.
    pub(crate) async fn read(&self, command: Cmd) -> Result<Value, StoreError> {
        Ok(self.read_all(&[command]).await?.pop().unwrap_or_default())
    }

    /// Reads several things, for each command one.
    pub(crate) async fn read_all(&self, commands: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        self.read_on(self.wire, commands).await
    }

    /// Reads what may be long.
    pub(crate) async fn read_long(&self, command: Cmd) -> Result<Value, StoreError> {
        Ok(self.read_on(self.reading, &[command]).await?.pop().unwrap_or_default())
    }

    async fn read_on(&self, wire: &Wire, commands: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        let steps = commands.chunks(COMMANDS_AT_ONCE).map(|some| self.read_at_once(wire, some));
        Ok(try_join_all(steps).await?.concat())
    }

    /// What is read in one step.
    async fn read_at_once(&self, wire: &Wire, commands: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        let mut head = command("LINDEX", self.keys, Key::Account);
        head.arg(0);
        let asked = [&[head], commands].concat();
        let answers = wire.read_at_once(&asked, &self.keys.name(Key::Account)).await;
        let mut answers = answers.map_err(CallError::of_read)?.into_iter();
        let head = text(answers.next().unwrap_or_default())?.unwrap_or_default();
        if version_of(&head) != self.version {
            self.is_other.store(true, Ordering::Relaxed);
            let message = "the account has changed while its ledger was read".to_owned();
            return Err(StoreError::NotDone { message, source: None });
        }
        Ok(answers.collect())
    }
}
