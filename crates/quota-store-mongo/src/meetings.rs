//! Whether a process meets others at an account.

/// Whether a process meets others at an account: how many of its own commits in a row found the account as it had left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meetings {
    /// The number of its last commit.
    seq: i64,
    alone: u32,
}

/// Who has committed so often without meeting anybody need not reckon with others.
const ALONE: u32 = 16;

impl Meetings {
    /// This process finds the account after the commit with this number.
    pub(crate) fn next(self, found: i64) -> Self {
        let alone = if found == self.seq { self.alone.saturating_add(1) } else { 0 };
        Self { alone, ..self }
    }

    /// Its own commit has this number.
    pub(crate) fn committed(self, seq: i64) -> Self {
        Self { seq, ..self }
    }

    pub(crate) fn is_alone(self) -> bool {
        self.alone >= ALONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_the_account_as_it_left_it_for_long_is_alone() {
        let commit = |met: Meetings, found: i64| met.next(found).committed(found + 1);
        let mut met = Meetings::default();
        for seq in 1..=i64::from(ALONE) {
            met = commit(met, seq);
            assert!(!met.is_alone(), "{seq}");
        }
        met = commit(met, i64::from(ALONE) + 1);
        assert!(met.is_alone());
        assert!(!commit(met, i64::from(ALONE) + 3).is_alone(), "somebody has committed meanwhile");
    }
}
