//! Processes on one store: racing for one limit, killed under load; servers killed under them; networks that fail.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ground;
mod killing;
mod pausing;
mod racing;

use crate::ground::Ground;

/// Every store's tests: those that need no server of their own, and those that do.
macro_rules! suite {
    ($store:ident, $ground:expr, { $($test:ident => $run:path),* $(,)? }) => {
        mod $store {
            use super::*;
            $(#[test]
            fn $test() {
                if let Some(mut ground) = $ground {
                    $run(&mut ground);
                }
            })*
        }
    };
}

macro_rules! processes {
    ($store:ident, $ground:expr) => {
        suite!($store, $ground, {
            a_process_killed_under_load_loses_nothing_that_it_answered_and_doubles_nothing => killing::load,
            a_process_killed_at_any_operation_leaves_sums_that_agree => killing::churn,
            two_processes_admit_exactly_the_limit => racing::two,
            four_processes_admit_exactly_the_limit => racing::four,
            eight_processes_of_sixteen_callers_admit_exactly_the_limit_of_one_client => racing::eight_on_one,
            eight_processes_of_sixteen_callers_admit_exactly_the_limits_of_many_clients => racing::eight_on_many,
            an_id_charged_by_every_process_is_charged_once => racing::ids,
            a_plan_set_by_one_process_binds_all_others => racing::plans,
            a_process_stopped_at_any_step_and_woken_leaves_sums_that_agree => pausing::stopped,
        });
    };
}

processes!(sqlite, Ground::sqlite());
