//! The list of clients.

use quota_core::ClientId;
use quota_service::{ClientsQuery, StoreError};
use redis::{Cmd, Value};

use crate::call_error::CallError;
use crate::entry_text::corrupt;
use crate::keys::{Key, LISTS};
use crate::store::RedisStore;
use crate::values::texts;

/// A name was seldom left behind: where some were, so many are looked through at once at least.
const NAMES_AT_ONCE: usize = 500;

/// Names that are listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) clients: Vec<ClientId>,
    /// Those without an account, among the clients and somewhat behind.
    pub(crate) left_behind: Vec<ClientId>,
}

impl RedisStore {
    /// Clients in the order of their bytes, from sorted sets whose scores are all 0: a page costs what it shows. A name
    /// without an account (its process was killed between the two, or nothing of the client is left) is left out.
    pub(crate) async fn list_clients(&self, query: &ClientsQuery) -> Result<Listed, StoreError> {
        let limit = query.limit.max(1);
        let mut listed = Listed::default();
        let mut query = query.clone();
        let mut at_least = 0;
        loop {
            let wanted = limit.saturating_sub(listed.clients.len()).max(at_least);
            let names = self.names(&query, wanted).await?;
            let Some(last) = names.last().cloned() else { return Ok(listed) };
            let is_last_page = names.len() < wanted;
            self.look_at(names, &mut listed).await?;
            if is_last_page || listed.clients.len() >= limit {
                listed.clients.truncate(limit);
                return Ok(listed);
            }
            query.after = Some(last);
            at_least = NAMES_AT_ONCE;
        }
    }

    /// Takes names off the lists that have no account. Whoever is about to make one lists it again when it is made; one that
    /// is there by now is listed again at once.
    pub(crate) async fn take_off(&self, names: Vec<ClientId>) -> Result<(), StoreError> {
        let wire = self.link.for_reading();
        for some in names.chunks(NAMES_AT_ONCE) {
            let removals: Vec<Cmd> = some.iter().map(|client| self.on_list("ZREM", client, &[])).collect();
            wire.call_all(&removals).await.map_err(CallError::of_read)?;
            let mut listed = Listed::default();
            self.look_at(some.to_vec(), &mut listed).await?;
            let additions: Vec<Cmd> =
                listed.clients.iter().map(|client| self.on_list("ZADD", client, &["NX", "0"])).collect();
            wire.call_all(&additions).await.map_err(CallError::of_read)?;
        }
        Ok(())
    }

    fn on_list(&self, name: &str, client: &ClientId, words: &[&str]) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(self.settings.prefix.list_of(client)).arg(words).arg(client.as_str());
        command
    }

    /// The first names of all lists together.
    async fn names(&self, query: &ClientsQuery, limit: usize) -> Result<Vec<ClientId>, StoreError> {
        // The later of the two begins the page.
        let after = query.after.as_ref().map(ClientId::as_str).filter(|after| *after >= query.prefix.as_str());
        let from = after.map_or_else(|| format!("[{}", query.prefix), |after| format!("({after}"));
        let to = query.end().map_or_else(|| "+".to_owned(), |end| format!("({end}"));
        let page = |list: u32| {
            let mut page = redis::cmd("ZRANGEBYLEX");
            page.arg(self.settings.prefix.list(list)).arg(&from).arg(&to).arg("LIMIT").arg(0).arg(limit);
            page
        };
        let commands: Vec<Cmd> = (0..LISTS).map(page).collect();
        let mut names = Vec::new();
        let answers = self.link.for_reading().read_all(commands, &self.settings.prefix.health()).await;
        for answer in answers.map_err(CallError::of_read)? {
            for name in texts(answer)? {
                names.push(ClientId::new(&name).map_err(|_| corrupt("a client's name", &name))?);
            }
        }
        names.sort_unstable();
        names.truncate(limit);
        Ok(names)
    }

    /// Sorts names by whether they have an account.
    async fn look_at(&self, names: Vec<ClientId>, listed: &mut Listed) -> Result<(), StoreError> {
        let exists = |client: &ClientId| {
            let mut exists = redis::cmd("EXISTS");
            exists.arg(self.settings.prefix.client(client).name(Key::Account));
            exists
        };
        let commands: Vec<Cmd> = names.iter().map(exists).collect();
        let answers = self.link.for_reading().read_all(commands, &self.settings.prefix.health()).await;
        for (client, answer) in names.into_iter().zip(answers.map_err(CallError::of_read)?) {
            let is_there = matches!(answer, Value::Int(1));
            if is_there { listed.clients.push(client) } else { listed.left_behind.push(client) }
        }
        Ok(())
    }
}
