//! Every entry of one client.

use std::collections::{BTreeMap, HashMap};

use quota_core::{Entry, Instant, OperationId, Window};

/// Where an entry stands: by instant, then in the order of writing.
pub(crate) type Place = (Instant, u64);

/// Entries by instant and by id.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    by_place: BTreeMap<Place, Entry>,
    by_id: HashMap<OperationId, Place>,
    next: u64,
}

impl Entries {
    pub(crate) fn add(&mut self, entry: Entry) {
        let place = (entry.at, self.next);
        self.next = self.next.saturating_add(1);
        if let Some(id) = &entry.id {
            self.by_id.insert(id.clone(), place);
        }
        self.by_place.insert(place, entry);
    }

    pub(crate) fn find(&self, id: &OperationId) -> Option<&Entry> {
        self.by_id.get(id).and_then(|place| self.by_place.get(place))
    }

    pub(crate) fn remove(&mut self, id: &OperationId) {
        if let Some(place) = self.by_id.remove(id) {
            self.by_place.remove(&place);
        }
    }

    pub(crate) fn in_range(&self, range: Window) -> impl Iterator<Item = &Entry> {
        self.by_place.range((range.start(), 0)..(range.end(), 0)).map(|(_, entry)| entry)
    }

    /// At most `limit` entries of the range that stand after `after`.
    pub(crate) fn page(&self, range: Window, after: Option<Place>, limit: usize) -> Vec<(Place, Entry)> {
        let from = after.map_or((range.start(), 0), |(at, number)| (at, number.saturating_add(1)));
        let from = from.max((range.start(), 0));
        let to = (range.end(), 0);
        if from >= to {
            return Vec::new();
        }
        self.by_place.range(from..to).take(limit).map(|(place, entry)| (*place, entry.clone())).collect()
    }

    pub(crate) fn remove_range(&mut self, range: Window) -> u64 {
        let places: Vec<Place> =
            self.by_place.range((range.start(), 0)..(range.end(), 0)).map(|(place, _)| *place).collect();
        for place in &places {
            if let Some(Entry { id: Some(id), .. }) = self.by_place.remove(place) {
                self.by_id.remove(&id);
            }
        }
        places.len().try_into().unwrap_or(u64::MAX)
    }
}
