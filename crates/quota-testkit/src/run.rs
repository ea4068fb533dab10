//! How a case runs.

use std::sync::Arc;

use crate::conformance::Running;
use crate::harness::{Harness, StoreFactory};

/// `small`, or `large` where the environment says `QUOTA_SOAK=1`.
#[must_use]
pub fn scale(small: usize, large: usize) -> usize {
    if std::env::var_os("QUOTA_SOAK").is_some_and(|value| value == "1") { large } else { small }
}

/// Where a random test begins: the number in `QUOTA_SEED`, else another with each run. It is printed, so that a
/// failure can be run again.
#[expect(clippy::print_stdout, reason = "a test's output is shown where it fails")]
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("QUOTA_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("QUOTA_SEED={seed}");
    seed
}

/// Runs a case in a runtime of four threads and in a namespace of its own.
///
/// # Panics
/// Where the case fails, or no runtime can be made.
#[expect(clippy::expect_used, reason = "a case fails by panicking")]
pub fn run<F, C>(factory: F, case: C)
where
    F: StoreFactory,
    C: for<'a> FnOnce(&'a Harness<F>) -> Running<'a>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let harness = Harness::new(Arc::new(factory));
    runtime.expect("a runtime").block_on(case(&harness));
}

/// One `#[test]` for each case of the suite, natively and through `AnyStore`, each with a store of its own from the
/// expression.
///
/// ```
/// # mod tests {
/// quota_testkit::conformance!(quota_testkit::SharedMemory::quarters());
/// # }
/// ```
#[macro_export]
macro_rules! conformance {
    ($factory:expr) => {
        mod native {
            #[expect(unused_imports, reason = "the expression may name nothing of this file")]
            use super::*;
            $crate::for_each_case!(tests($factory));
        }
        mod any_store {
            #[expect(unused_imports, reason = "the expression may name nothing of this file")]
            use super::*;
            $crate::for_each_case!(tests($crate::Boxed($factory)));
        }
    };
}

/// What [`for_each_case`](crate::for_each_case) makes of the cases.
#[doc(hidden)]
#[macro_export]
macro_rules! cases {
    (tests ($factory:expr) $($noun:ident { $($case:ident)* })*) => {
        $(mod $noun {
            #[expect(unused_imports, reason = "the expression may name nothing of this file")]
            use super::*;
            $(#[test]
            fn $case() {
                $crate::run($factory, |harness| Box::pin($crate::conformance::$noun::$case(harness)));
            })*
        })*
    };
    (list ($factory:ty) $($noun:ident { $($case:ident)* })*) => {
        vec![$($($crate::conformance::Case::<$factory> {
            name: concat!(stringify!($noun), "::", stringify!($case)),
            run: |harness| Box::pin($crate::conformance::$noun::$case(harness)),
        }),*),*]
    };
}
