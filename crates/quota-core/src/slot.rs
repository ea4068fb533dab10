//! The cached sums of one quota's window.

use crate::credits::Credits;
use crate::instant::Instant;
use crate::lattice::Lattice;
use crate::window::Window;

/// What one client used and holds in one window of one lattice. A cache: the ledger can always be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) window: Window,
    pub(crate) used: Credits,
    /// Expired holds included until they are forgotten.
    pub(crate) held: Credits,
    pub(crate) lattice: Lattice,
}

/// Holds no instant, so it never answers.
pub(crate) const NOWHERE: Window = Window::empty_at(Instant::MIN);

impl Slot {
    /// A slot that knows nothing yet.
    pub(crate) const fn unknown(lattice: Lattice) -> Self {
        Self { window: NOWHERE, used: Credits::ZERO, held: Credits::ZERO, lattice }
    }

    // The lifetime sum bounds every sum of entries and holds, so these cannot saturate.

    pub(crate) fn add_entry(&mut self, at: Instant, credits: Credits) {
        if self.window.contains(at) {
            self.used = self.used.saturating_add(credits);
        }
    }

    pub(crate) fn remove_entry(&mut self, at: Instant, credits: Credits) {
        if self.window.contains(at) {
            self.used = self.used.saturating_sub(credits);
        }
    }

    pub(crate) fn add_hold(&mut self, at: Instant, credits: Credits) {
        if self.window.contains(at) {
            self.held = self.held.saturating_add(credits);
        }
    }

    pub(crate) fn remove_hold(&mut self, at: Instant, credits: Credits) {
        if self.window.contains(at) {
            self.held = self.held.saturating_sub(credits);
        }
    }
}
