//! The ledger of one client.

use std::time::Duration;

use quota_core::{
    Credits, Days, Detail, Entry, Fact, Instant, Label, Need, QUARTER_MILLIS, QuarterSum, Refusal, Removal, Terms,
    Window, is_quarter, quarter_of,
};
use smallvec::SmallVec;

use crate::entries::{Entries, Place};
use crate::ids::Ids;

/// How many ids a ledger with quarters remembers.
const MAX_IDS: usize = 100_000;
/// How many labels are told apart; the rest counts under none.
const MAX_LABELS: usize = 64;

/// Sums for each quarter of an hour and label, and what else the level of detail keeps.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Ascending by quarter, then label. One is in place: most idle clients have no more.
    quarters: SmallVec<[Quarter; 1]>,
    rest: Option<Box<Rest>>,
}

/// The sum of one quarter's entries of one label.
#[derive(Clone, Copy, Debug)]
struct Quarter {
    /// In quarters since 1970.
    number: u32,
    /// From 1 in the order of first use; 0 is none.
    label: u32,
    entries: u64,
    credits: Credits,
}

#[derive(Debug, Default)]
struct Rest {
    /// One is in place: most applications charge a client from few routes.
    labels: SmallVec<[Label; 1]>,
    ids: Ids,
    entries: Entries,
    folded_until: Option<Instant>,
}

/// A store's level of detail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    pub(crate) detail: Detail,
    pub(crate) ids_for: Duration,
    /// How long sums are kept; none is for ever.
    pub(crate) retention: Option<Duration>,
}

impl Keeping {
    /// Those of a client of whom nothing is kept.
    pub(crate) const fn terms(self) -> Terms {
        let Self { detail, retention, .. } = self;
        Terms { detail, folded_until: Instant::MIN, room_for_ids: MAX_IDS, retention }
    }
}

impl Ledger {
    pub(crate) fn terms(&mut self, keeping: Keeping, now: Instant) -> Terms {
        let ids = self.rest.as_mut().map_or(0, |rest| match rest.ids.len() {
            few if few < MAX_IDS / 2 => few,
            many => many.saturating_sub(rest.ids.count_old(now, keeping.ids_for)),
        });
        let room_for_ids = MAX_IDS.saturating_sub(ids);
        Terms { folded_until: self.folded_until(), room_for_ids, ..keeping.terms() }
    }

    pub(crate) fn check_range(&self, keeping: Keeping, range: Window) -> Result<(), Refusal> {
        Terms { folded_until: self.folded_until(), ..keeping.terms() }.check_range(range)
    }

    fn folded_until(&self) -> Instant {
        self.rest.as_ref().and_then(|rest| rest.folded_until).unwrap_or(Instant::MIN)
    }

    /// Adds an entry that nothing more is kept of than its sum.
    #[inline]
    fn add_sum(&mut self, at: Instant, credits: Credits, label: Option<&Label>) {
        let label = label.map_or(0, |label| self.label_number(label));
        let number = quarter_number(at);
        let quarter = match self.quarters.last_mut() {
            Some(last) if last.number == number && last.label == label => last,
            _ => self.quarter_mut(number, label),
        };
        quarter.entries = quarter.entries.saturating_add(1);
        // Cannot overflow: the lifetime sum bounds it.
        quarter.credits = quarter.credits.saturating_add(credits);
    }

    /// The quarter's sum; made where there is none.
    #[cold]
    fn quarter_mut(&mut self, number: u32, label: u32) -> &mut Quarter {
        let key = (number, label);
        let place = self.quarters.partition_point(|quarter| (quarter.number, quarter.label) < key);
        if self.quarters.get(place).is_none_or(|quarter| (quarter.number, quarter.label) != key) {
            self.quarters.insert(place, Quarter { number, label, entries: 0, credits: Credits::ZERO });
        }
        #[expect(clippy::indexing_slicing, reason = "found there, or inserted there")]
        &mut self.quarters[place]
    }

    /// Adds an entry without an id.
    #[inline]
    pub(crate) fn post(&mut self, at: Instant, credits: Credits, label: Option<&Label>, keeping: Keeping) {
        self.add_sum(at, credits, label);
        if keeping.detail == Detail::Entries {
            self.rest_mut().entries.add(Entry { id: None, at, credits, label: label.cloned() });
        }
    }

    pub(crate) fn add(&mut self, entry: Entry, written: Instant, keeping: Keeping) {
        self.add_sum(entry.at, entry.credits, entry.label.as_ref());
        match (keeping.detail, &entry.id) {
            (Detail::Entries, _) => self.rest_mut().entries.add(entry),
            (Detail::Quarters, Some(id)) => {
                let id = id.clone();
                self.rest_mut().ids.remember(&id, entry, written);
            }
            (Detail::Quarters, None) => {}
        }
    }

    pub(crate) fn remove(&mut self, removal: &Removal) {
        match removal {
            Removal::Entry(entry) => self.remove_entry(entry),
            Removal::Range(range) => self.remove_range(*range),
        }
    }

    fn remove_entry(&mut self, entry: &Entry) {
        self.subtract(entry);
        self.quarters.retain(|quarter| quarter.entries > 0);
        if let (Some(rest), Some(id)) = (self.rest.as_mut(), &entry.id) {
            rest.ids.remove(id);
            rest.entries.remove(id);
        }
    }

    /// Takes an entry out of its quarter's sum.
    fn subtract(&mut self, entry: &Entry) {
        let label = entry.label.as_ref().map_or(0, |label| self.label_number(label));
        let key = (quarter_number(entry.at), label);
        let place = self.quarters.partition_point(|quarter| (quarter.number, quarter.label) < key);
        if let Some(quarter) = self.quarters.get_mut(place).filter(|quarter| (quarter.number, quarter.label) == key) {
            quarter.entries = quarter.entries.saturating_sub(1);
            quarter.credits = quarter.credits.saturating_sub(entry.credits);
        }
    }

    /// Whole quarters go with their sums; of those that the range cuts, the entries are known.
    fn remove_range(&mut self, range: Window) {
        let inner = whole_quarters(range);
        let cut: Vec<Entry> = self.entries_in(range).filter(|entry| !inner.contains(entry.at)).cloned().collect();
        cut.iter().for_each(|entry| self.subtract(entry));
        self.quarters.retain(|quarter| quarter.entries > 0 && !inner.contains(quarter.start()));
        if let Some(rest) = &mut self.rest {
            rest.ids.remove_range(range);
            rest.entries.remove_range(range);
        }
    }

    pub(crate) fn answer(&self, need: &Need, keeping: Keeping, now: Instant) -> Fact {
        match need {
            Need::Entry(id) => {
                let found = |rest: &Rest| {
                    let entry = rest.ids.find(id, now, keeping.ids_for).or_else(|| rest.entries.find(id));
                    entry.cloned()
                };
                Fact::Entry(self.rest.as_deref().and_then(found))
            }
            Need::Sum { window, except } => Fact::Sum(self.sum(*window, *except, keeping)),
            Need::Count(range) => {
                let (entries, credits) = self.count(*range);
                Fact::Count { entries, credits }
            }
        }
    }

    /// With entries, exactly what is in the window; quarters whose entries are not kept count whole.
    fn sum(&self, window: Window, except: Option<Window>, keeping: Keeping) -> Credits {
        let excepted = |at: Instant| except.is_some_and(|range| range.contains(at));
        let folded = |start: Instant| keeping.detail == Detail::Quarters || start < self.folded_until();
        let mut sum = Credits::ZERO;
        for quarter in self.overlapping(window) {
            let inside = quarter.lies_in(window) && !except.is_some_and(|range| quarter.overlaps(range));
            if inside || (folded(quarter.start()) && !excepted(quarter.start())) {
                sum = sum.saturating_add(quarter.credits);
            }
        }
        let kept = self.entries_in(window).filter(|entry| !excepted(entry.at));
        let cut = |entry: &&Entry| {
            let start = quarter_of(entry.at);
            let inside = lies_in(start, window) && !except.is_some_and(|range| overlaps(start, range));
            !inside && !folded(start)
        };
        kept.filter(cut).fold(sum, |sum, entry| sum.saturating_add(entry.credits))
    }

    /// Count and sum of a range that the terms allow.
    fn count(&self, range: Window) -> (u64, Credits) {
        let inner = whole_quarters(range);
        let add = |(entries, credits): (u64, Credits), more: u64, sum| {
            (entries.saturating_add(more), credits.saturating_add(sum))
        };
        let whole =
            self.overlapping(inner).fold((0, Credits::ZERO), |sum, quarter| add(sum, quarter.entries, quarter.credits));
        let cut = self.entries_in(range).filter(|entry| !inner.contains(entry.at));
        cut.fold(whole, |sum, entry| add(sum, 1, entry.credits))
    }

    pub(crate) fn total(&self, range: Window) -> Credits {
        self.count(range).1
    }

    pub(crate) fn daily(&self, range: Window, mut days: Days, keeping: Keeping) -> Days {
        let kept = |start: Instant| keeping.detail == Detail::Entries && start >= self.folded_until();
        let mut cut = Vec::new();
        for quarter in self.overlapping(range) {
            if days.cuts(quarter.start()) && kept(quarter.start()) {
                if cut.last() != Some(&quarter.start()) {
                    cut.push(quarter.start());
                }
            } else {
                days.add_quarter(self.quarter_sum(quarter));
            }
        }
        let labels = self.labels();
        for start in cut {
            for entry in self.entries_in(quarter_window(start)) {
                // Under the label that the sums know it by.
                let counted = entry.label.as_ref().filter(|label| labels.contains(label));
                days.add_entry(entry.at, entry.credits, counted.cloned());
            }
        }
        days
    }

    pub(crate) fn page(&self, range: Window, after: Option<Place>, limit: usize) -> Vec<(Place, Entry)> {
        self.rest.as_ref().map(|rest| rest.entries.page(range, after, limit)).unwrap_or_default()
    }

    /// Folds the entries before a full quarter into its sums; says how many.
    pub(crate) fn fold(&mut self, before: Instant) -> u64 {
        let Some(rest) = &mut self.rest else { return 0 };
        let Ok(range) = Window::new(Instant::MIN, before) else { return 0 };
        // Only past quarters that had entries, so that ranges elsewhere stay exact.
        let last = rest.entries.in_range(range).last().map(|entry| quarter_window(quarter_of(entry.at)).end());
        rest.folded_until = rest.folded_until.max(last);
        rest.entries.remove_range(range)
    }

    /// Forgets the sums of quarters that no window reaches back to from this full quarter on.
    pub(crate) fn forget_sums(&mut self, now: Instant, keeping: Keeping) {
        if let Some(horizon) = keeping.retention.map(|retention| now.saturating_sub(retention)) {
            self.quarters.retain(|quarter| quarter_window(quarter.start()).end() > horizon);
        }
    }

    /// Forgets ids that are no longer to be remembered; says how many.
    pub(crate) fn forget_ids(&mut self, now: Instant, keeping: Keeping) -> u64 {
        self.rest.as_mut().map_or(0, |rest| rest.ids.forget(now, keeping.ids_for))
    }

    fn entries_in(&self, range: Window) -> impl Iterator<Item = &Entry> {
        self.rest.iter().flat_map(move |rest| rest.entries.in_range(range))
    }

    fn overlapping(&self, range: Window) -> impl Iterator<Item = &Quarter> {
        let first = quarter_number(range.start());
        let place = self.quarters.partition_point(|quarter| quarter.number < first);
        self.quarters.iter().skip(place).take_while(move |quarter| quarter.overlaps(range))
    }

    fn quarter_sum(&self, quarter: &Quarter) -> QuarterSum {
        let place = usize::try_from(quarter.label).ok().and_then(|label| label.checked_sub(1));
        let label = place.and_then(|place| self.labels().get(place)).cloned();
        QuarterSum { start: quarter.start(), label, credits: quarter.credits, entries: quarter.entries }
    }

    /// The labels that the sums tell apart.
    fn labels(&self) -> &[Label] {
        self.rest.as_ref().map(|rest| rest.labels.as_slice()).unwrap_or_default()
    }

    fn label_number(&mut self, label: &Label) -> u32 {
        let labels = &mut self.rest_mut().labels;
        let place = match labels.iter().position(|known| known == label) {
            Some(place) => place,
            None if labels.len() < MAX_LABELS => {
                labels.push(label.clone());
                labels.len().saturating_sub(1)
            }
            None => return 0,
        };
        u32::try_from(place).unwrap_or_default().saturating_add(1)
    }

    fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }
}

impl Quarter {
    fn start(self) -> Instant {
        Instant::from_millis(i64::from(self.number).saturating_mul(QUARTER_MILLIS)).unwrap_or(Instant::MIN)
    }

    fn lies_in(self, range: Window) -> bool {
        lies_in(self.start(), range)
    }

    fn overlaps(self, range: Window) -> bool {
        overlaps(self.start(), range)
    }
}

fn quarter_number(at: Instant) -> u32 {
    u32::try_from(at.millis() / QUARTER_MILLIS).unwrap_or_default()
}

/// The quarter that begins there; the last of 2099 ends with it.
fn quarter_window(start: Instant) -> Window {
    let end = start.saturating_add(Duration::from_millis(QUARTER_MILLIS.unsigned_abs()));
    Window::new(start, end).unwrap_or(Window::ALL)
}

fn lies_in(start: Instant, range: Window) -> bool {
    let quarter = quarter_window(start);
    range.start() <= quarter.start() && quarter.end() <= range.end()
}

fn overlaps(start: Instant, range: Window) -> bool {
    quarter_window(start).overlaps(range)
}

/// The whole quarters in a range; empty where there is none.
fn whole_quarters(range: Window) -> Window {
    let quarter = Duration::from_millis(QUARTER_MILLIS.unsigned_abs());
    let start =
        if is_quarter(range.start()) { range.start() } else { quarter_of(range.start()).saturating_add(quarter) };
    let end = if range.end() == Instant::MAX { range.end() } else { quarter_of(range.end()) };
    Window::new(start, end).or_else(|_| Window::new(range.start(), range.start())).unwrap_or(range)
}
