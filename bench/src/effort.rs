//! How long to measure.

/// More of it is slower and less noisy; the rows are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds, in each of which everything that is compared is measured once.
    pub(crate) rounds: usize,
    /// Checks of one contestant in one round.
    pub(crate) visits: usize,
    /// The same for what is a hundred times slower.
    pub(crate) slow_visits: usize,
    /// Milliseconds of one contestant in one round, where the clock says when to stop.
    pub(crate) slice_millis: u64,
    /// Entries of the client with many.
    pub(crate) many_entries: i64,
    /// Only this part of a server's rows; none is all of them.
    pub(crate) part: Option<ServerPart>,
}

/// What is measured on a server by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServerPart {
    Throughput,
    OneCaller,
    Processes,
    Reading,
    List,
}

impl ServerPart {
    pub(crate) const ALL: [Self; 5] = [Self::Throughput, Self::OneCaller, Self::Processes, Self::Reading, Self::List];
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        rounds: 9,
        visits: 500_000,
        slow_visits: 20_000,
        slice_millis: 1_500,
        many_entries: 1_000_000,
        part: None,
    };
    pub(crate) const QUICK: Self =
        Self { rounds: 3, visits: 200_000, slow_visits: 5_000, slice_millis: 700, many_entries: 100_000, part: None };
}
