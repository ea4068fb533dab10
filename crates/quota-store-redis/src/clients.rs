//! The list of clients.

use quota_core::ClientId;
use quota_service::{ClientsQuery, StoreError};
use redis::{Cmd, Value};

use crate::call_error::CallError;
use crate::entry_text::corrupt;
use crate::keys::{Key, LISTS};
use crate::store::RedisStore;
use crate::values::texts;

impl RedisStore {
    /// Clients in the order of their bytes, from sorted sets whose scores are all 0: a page costs what it shows. A name
    /// without an account (its process was killed between the two) is left out.
    pub(crate) async fn list_clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        let limit = query.limit.max(1);
        let mut clients: Vec<ClientId> = Vec::new();
        let mut query = query.clone();
        loop {
            let wanted = limit.saturating_sub(clients.len());
            let names = self.names(&query, wanted).await?;
            let Some(last) = names.last().cloned() else { return Ok(clients) };
            let is_last_page = names.len() < wanted;
            clients.extend(self.with_account(names).await?);
            if is_last_page || clients.len() >= limit {
                return Ok(clients);
            }
            query.after = Some(last);
        }
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

    async fn with_account(&self, names: Vec<ClientId>) -> Result<Vec<ClientId>, StoreError> {
        let exists = |client: &ClientId| {
            let mut exists = redis::cmd("HEXISTS");
            exists.arg(self.settings.prefix.client(client).name(Key::Account)).arg("v");
            exists
        };
        let commands: Vec<Cmd> = names.iter().map(exists).collect();
        let answers = self.link.for_reading().read_all(commands, &self.settings.prefix.health()).await;
        let answers = answers.map_err(CallError::of_read)?;
        let known = names.into_iter().zip(answers).filter(|(_, answer)| matches!(answer, Value::Int(1)));
        Ok(known.map(|(client, _)| client).collect())
    }
}
