//! Accounts that this connection read or wrote last.

use std::collections::HashMap;

use quota_core::ClientId;

use crate::rows::Stored;

/// Accounts as the file has them while no other connection has written to it, which SQLite tells by the file's
/// version (`PRAGMA data_version`): under the write lock the same version means the same accounts. So a kept account is
/// as good as one that was read, and saves the reading.
#[derive(Debug, Default)]
pub(crate) struct KeptAccounts {
    accounts: HashMap<ClientId, Stored>,
    version: Option<i64>,
}

impl KeptAccounts {
    /// The greatest number of accounts. Beyond it all are let go: cheaper than keeping their order of use.
    const MAX: usize = 16_384;

    /// Lets everything go if another connection has written since.
    pub(crate) fn confirm(&mut self, version: i64) {
        if self.version != Some(version) {
            self.accounts.clear();
            self.version = Some(version);
        }
    }

    /// Lets everything go: what was kept may not be what the file has.
    pub(crate) fn clear(&mut self) {
        self.accounts.clear();
    }

    pub(crate) fn take(&mut self, client: &ClientId) -> Option<Stored> {
        self.accounts.remove(client)
    }

    /// Keeps an account, unless it has holds, of which there may be thousands.
    pub(crate) fn put(&mut self, client: &ClientId, stored: Stored) {
        if stored.account.active_holds(stored.account.latest()).next().is_some() {
            return;
        }
        if self.accounts.len() >= Self::MAX {
            self.accounts.clear();
        }
        self.accounts.insert(client.clone(), stored);
    }
}
