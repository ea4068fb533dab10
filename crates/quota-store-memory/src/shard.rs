//! The clients of one shard.

use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Bound;

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use quota_core::{Answer, ClientId};
use quota_service::{ClientsQuery, Request, StoreError};

use crate::ledger::Keeping;
use crate::record::Record;

/// On cache lines of its own, so that one shard's lock does not slow another's.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Shard(Mutex<Records>);

/// Every client's record, found by its hash and listed by its bytes.
#[derive(Default)]
pub(crate) struct Records {
    /// Boxed: a table is half empty at times.
    table: HashTable<Box<Record>>,
    /// The clients of the table, from the first time that they are listed: who never lists them has no more memory to pay
    /// for. Charges do not touch it, only a client that comes or goes does.
    order: Option<BTreeSet<ClientId>>,
}

impl Shard {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock()
    }
}

impl Records {
    pub(crate) fn find(&self, hash: u64, client: &ClientId) -> Option<&Record> {
        self.table.find(hash, |record| record.client == *client).map(|record| &**record)
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, client: &ClientId) -> Option<&mut Record> {
        self.table.find_mut(hash, |record| record.client == *client).map(|record| &mut **record)
    }

    pub(crate) fn clients(&self) -> Vec<ClientId> {
        self.table.iter().map(|record| record.client.clone()).collect()
    }

    /// Runs one operation; `rehash` is for a table that grows. A record that says nothing is not kept.
    pub(crate) fn apply(
        &mut self,
        hash: u64,
        request: &Request,
        keeping: Keeping,
        rehash: impl Fn(&ClientId) -> u64,
    ) -> Result<Answer, StoreError> {
        if let Ok(mut found) = self.table.find_entry(hash, |record| record.client == request.client) {
            let answer = found.get_mut().apply(request, keeping);
            if found.get().is_blank() {
                found.remove();
                if let Some(order) = &mut self.order {
                    order.remove(&request.client);
                }
            }
            return answer;
        }
        let mut record = Box::new(Record::new(request.client.clone()));
        let answer = record.apply(request, keeping);
        if !record.is_blank() {
            if let Some(order) = &mut self.order {
                order.insert(record.client.clone());
            }
            self.table.insert_unique(hash, record, |record| rehash(&record.client));
        }
        answer
    }

    /// Adds what stands here of a page: the query's first clients, of which the page holds at most `most`.
    pub(crate) fn list(&mut self, query: &ClientsQuery, most: usize, page: &mut BinaryHeap<ClientId>) {
        let Self { table, order } = self;
        let order = order.get_or_insert_with(|| table.iter().map(|record| record.client.clone()).collect());
        let prefix = query.prefix.as_str();
        let from = match query.after.as_ref().map(ClientId::as_str).filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let clients = order.range::<str, _>((from, Bound::Unbounded));
        for client in clients.take_while(|client| client.as_str().starts_with(prefix)) {
            if page.len() < most {
                page.push(client.clone());
                continue;
            }
            match page.peek_mut() {
                Some(mut last) if *client < *last => *last = client.clone(),
                // The rest of this shard comes after everything on the page, too.
                _ => break,
            }
        }
    }
}
