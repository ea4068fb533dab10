//! The requests of a batch, by client.

use std::ops::Range;

use quota_core::{Answer, ClientId, EntryId, Need, Operation, Turn};

use crate::store::Request;
use crate::store_error::StoreError;

/// The requests of one [`crate::UsageStore::apply`], sorted by client: what a store needs to run each client's
/// requests apart, in the order in which they came.
///
/// Clients stand in the order of their bytes. Locks taken in this order never wait for each other in a circle.
#[derive(Debug)]
pub struct Batch {
    requests: Vec<Request>,
    /// The places of the requests, sorted by client.
    places: Vec<usize>,
    /// Each with which of those places are its own.
    clients: Vec<(ClientId, Range<usize>)>,
}

/// One client's requests of a batch, in the order in which they came.
#[derive(Clone, Copy, Debug)]
pub struct ClientRequests<'a> {
    client: &'a ClientId,
    requests: &'a [Request],
    places: &'a [usize],
}

/// The answers of a batch, given client by client in any order.
#[derive(Debug)]
pub struct Answers(Vec<Option<Result<Answer, StoreError>>>);

impl Batch {
    /// Sorts requests by client.
    #[must_use]
    pub fn new(requests: Vec<Request>) -> Self {
        let mut order: Vec<(&ClientId, usize)> =
            requests.iter().enumerate().map(|(place, request)| (&request.client, place)).collect();
        order.sort_unstable();
        let mut clients: Vec<(ClientId, Range<usize>)> = Vec::with_capacity(order.len());
        for (number, (client, _)) in order.iter().enumerate() {
            let until = number.saturating_add(1);
            match clients.last_mut() {
                Some((last, own)) if last == *client => own.end = until,
                _ => clients.push(((*client).clone(), number..until)),
            }
        }
        let places = order.into_iter().map(|(_, place)| place).collect();
        Self { requests, places, clients }
    }

    /// Each client's requests, clients ascending by bytes.
    pub fn clients(&self) -> impl ExactSizeIterator<Item = ClientRequests<'_>> {
        self.clients.iter().map(|(client, own)| {
            let places = self.places.get(own.clone()).unwrap_or_default();
            ClientRequests { client, requests: &self.requests, places }
        })
    }

    /// Answers that are still to be given.
    #[must_use]
    pub fn answers(&self) -> Answers {
        Answers(self.requests.iter().map(|_| None).collect())
    }
}

impl<'a> ClientRequests<'a> {
    /// Whose requests.
    #[must_use]
    pub const fn client(&self) -> &'a ClientId {
        self.client
    }

    /// The requests with their places in the batch.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &'a Request)> + use<'a> {
        let requests = self.requests;
        self.places.iter().filter_map(move |place| requests.get(*place).map(|request| (*place, request)))
    }

    /// How many requests.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none (left).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Those after the first `count`: what is left once the first are written.
    #[must_use]
    pub fn after(self, count: usize) -> Self {
        Self { places: self.places.get(count..).unwrap_or_default(), ..self }
    }

    /// What these requests will look up by id, so that it can be fetched together with the account.
    #[must_use]
    pub fn foresee(&self) -> Vec<Need> {
        self.iter().flat_map(|(_, request)| Turn::foresee(&request.operation)).collect()
    }

    /// What is looked up besides where made ids are looked for as given ones are ([`ClientTurn::look_for_made`](crate::ClientTurn::look_for_made)).
    #[must_use]
    pub fn foresee_made(&self) -> Vec<Need> {
        let made = |request: &Request| match &request.operation {
            Operation::Charge { id: EntryId::Made(id), .. } | Operation::Record { id: EntryId::Made(id), .. } => {
                Some(Need::Entry(id.clone()))
            }
            _ => None,
        };
        self.iter().filter_map(|(_, request)| made(request)).collect()
    }
}

impl Answers {
    /// Gives the answer to the request at `place`; a later one replaces it.
    pub fn give(&mut self, place: usize, answer: Result<Answer, StoreError>) {
        if let Some(open) = self.0.get_mut(place) {
            *open = Some(answer);
        }
    }

    /// Gives each of these requests an error of its own making.
    pub fn fail(&mut self, requests: ClientRequests<'_>, mut error: impl FnMut() -> StoreError) {
        for (place, _) in requests.iter() {
            self.give(place, Err(error()));
        }
    }

    /// The answers, one for each request; one that was never given certainly did nothing.
    #[must_use]
    pub fn finish(self) -> Vec<Result<Answer, StoreError>> {
        let unanswered = || Err(StoreError::NotDone { message: "the request was not run".to_owned(), source: None });
        self.0.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }
}
