//! Stores that are broken on purpose fail the suite; the same store whole passes it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fault;
mod tiny;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fault::Fault;
use quota_testkit::conformance::{Case, cases};
use quota_testkit::{Harness, StoreFactory, scale};
use tiny::TinyStores;

/// The cases of pruning that the tiny store passes.
const PRUNING: [&str; 4] = [
    "pruning::pruning_gives_nothing_back",
    "pruning::a_new_quota_counts_what_was_pruned",
    "pruning::a_service_spares_the_ids_of_the_last_day",
    "pruning::the_accounts_time_outlives_a_pruning",
];

/// What came of a case.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It panicked: the promise is broken, and the case says so.
    Failed,
    /// It did not end, which says nothing about what it checks.
    Stuck,
}

fn outcome<F: StoreFactory>(factory: F, case: &Case<F>) -> Outcome {
    // Far more than any case takes.
    let patience = Duration::from_secs(scale(60, 1_800).try_into().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let harness = Harness::new(Arc::new(factory));
    let run = || runtime.block_on(async { tokio::time::timeout(patience, (case.run)(&harness)).await });
    let outcome = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(_)) => Outcome::Stuck,
        Err(_) => Outcome::Failed,
    };
    runtime.shutdown_background();
    outcome
}

/// Each of these cases notices the fault.
#[track_caller]
fn must_fail(fault: Fault, names: &[&str]) {
    let all = cases::<TinyStores>();
    for name in names {
        let case = all.iter().find(|case| case.name == *name).unwrap_or_else(|| panic!("no case {name}"));
        assert_eq!(outcome(TinyStores::new(fault), case), Outcome::Failed, "{name} has to notice {fault:?}");
    }
}

#[test]
fn the_store_without_a_fault_passes() {
    // It only forgets ids and lists less when it prunes, so the other cases of pruning do not hold for it.
    let holds = |name: &str| !name.starts_with("pruning::") || PRUNING.contains(&name);
    for case in cases::<TinyStores>().iter().filter(|case| holds(case.name)) {
        assert_eq!(outcome(TinyStores::new(Fault::None), case), Outcome::Passed, "{}", case.name);
    }
}

#[test]
fn a_store_that_loses_every_third_batch_fails() {
    must_fail(
        Fault::LosesEveryThirdBatch,
        &[
            "charging::the_exact_limit_is_allowed_and_a_millionth_more_is_denied",
            "concurrency::sixty_four_callers_get_exactly_the_limit",
            "concurrency::a_client_whose_plan_is_set_all_the_time_is_still_charged",
            "concurrency::usage_is_told_while_a_client_is_charged_all_the_time",
        ],
    );
}

#[test]
fn a_store_that_applies_a_batch_twice_fails() {
    must_fail(
        Fault::AppliesTwice,
        &["charging::a_charge_takes_exactly_its_credits", "model::any_sequence_answers_as_a_list_of_entries_would"],
    );
}

#[test]
fn a_store_that_decides_on_what_it_read_before_fails() {
    must_fail(
        Fault::ReadsStale,
        &["concurrency::two_processes_admit_exactly_the_limit", "concurrency::one_id_from_many_tasks_is_charged_once"],
    );
}

#[test]
fn a_store_that_ignores_ids_fails() {
    must_fail(
        Fault::IgnoresIds,
        &["ids::the_same_id_and_credits_charge_once", "batches::an_id_twice_in_one_batch_is_charged_once"],
    );
}

#[test]
fn a_store_that_forgets_the_ids_it_made_fails() {
    must_fail(
        Fault::DropsMadeIds,
        &["faults::an_unknown_charge_without_an_id_is_given_one", "batches::a_made_id_is_kept_with_its_entry"],
    );
}

#[test]
fn a_store_that_drops_entries_but_keeps_the_account_fails() {
    must_fail(
        Fault::DropsEntries,
        &[
            "charging::a_charge_takes_exactly_its_credits",
            "plans::another_anchor_asks_the_ledger",
            "batches::a_batch_of_a_thousand_is_answered_in_its_order",
        ],
    );
}

#[test]
fn a_store_that_keeps_entries_but_drops_the_account_fails() {
    must_fail(
        Fault::DropsAccount,
        &["charging::time_never_runs_backwards", "holds::a_hold_made_by_one_process_is_ended_by_another"],
    );
}

#[test]
fn a_store_that_folds_case_fails() {
    must_fail(Fault::FoldsCase, &["clients::clients_that_differ_in_one_byte_are_different"]);
}

#[test]
fn a_store_that_trims_blanks_fails() {
    must_fail(Fault::TrimsBlanks, &["clients::clients_that_differ_in_one_byte_are_different"]);
}

#[test]
fn a_store_that_reorders_a_batch_fails() {
    must_fail(
        Fault::ReordersBatch,
        &[
            "batches::requests_of_one_client_run_in_order",
            "batches::what_is_taken_out_in_a_batch_follows_what_was_put_in",
        ],
    );
}

#[test]
fn a_store_that_forgets_to_check_the_plans_version_fails() {
    must_fail(
        Fault::ForgetsPlanVersion,
        &[
            "plans::a_request_with_another_version_of_the_plan_is_told_the_accounts",
            "plans::a_plan_set_by_one_process_binds_the_others_next_request",
            "concurrency::a_plan_and_what_it_decides_are_of_one_moment",
        ],
    );
}

#[test]
fn a_store_that_ignores_latest_fails() {
    must_fail(
        Fault::IgnoresLatest,
        &[
            "charging::time_never_runs_backwards",
            "plans::a_restart_shows_the_same",
            "usage::the_accounts_time_outlives_a_deletion",
            "pruning::the_accounts_time_outlives_a_pruning",
        ],
    );
}

#[test]
fn a_store_that_gives_credits_back_when_it_prunes_fails() {
    must_fail(Fault::GivesBackOnPrune, &PRUNING);
}

#[test]
fn a_store_that_prunes_more_than_it_is_asked_to_fails() {
    must_fail(Fault::PrunesEverything, &["pruning::a_service_spares_the_ids_of_the_last_day"]);
}

#[test]
fn a_store_that_leaves_rows_of_unknown_clients_fails() {
    must_fail(Fault::LeavesTraces, &["charging::an_unknown_client_is_refused_and_leaves_no_trace"]);
}

#[test]
fn a_store_that_lets_one_client_fail_the_others_fails() {
    must_fail(Fault::OneFailsAll, &["batches::one_clients_refusal_leaves_the_others"]);
}

#[test]
fn a_store_whose_ranges_hold_their_end_fails() {
    must_fail(Fault::ClosedRanges, &["usage::totals_are_half_open", "usage::a_deletion_takes_its_range_and_no_more"]);
}

#[test]
fn a_store_that_counts_in_each_process_fails() {
    must_fail(
        Fault::CountsInEachProcess,
        &[
            "concurrency::two_processes_admit_exactly_the_limit",
            "plans::a_restart_shows_the_same",
            "processes::whatever_one_process_does_the_other_sees_at_once",
        ],
    );
}

#[test]
fn a_store_that_repeats_an_entry_on_the_next_page_fails() {
    must_fail(Fault::RepeatsOnPages, &["usage::entries_are_listed_in_order_page_by_page"]);
}

#[test]
fn a_store_that_lists_other_credits_than_it_counts_fails() {
    must_fail(Fault::ListsOtherCredits, &["model::any_sequence_answers_as_a_list_of_entries_would"]);
}

#[test]
fn a_store_that_drops_the_labels_of_past_usage_fails() {
    must_fail(Fault::DropsPastLabels, &["model::any_sequence_answers_as_a_list_of_entries_would"]);
}

#[test]
fn a_store_that_answers_in_another_order_fails() {
    must_fail(Fault::ShufflesAnswers, &["batches::a_batch_of_a_thousand_is_answered_in_its_order"]);
}
