//! The list of cases.

/// Hands the list of all cases to [`cases`](crate::cases).
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($how:ident ($($factory:tt)*)) => {
        $crate::cases! {
            $how ($($factory)*)
            charging {
                a_charge_takes_exactly_its_credits
                the_exact_limit_is_allowed_and_a_millionth_more_is_denied
                a_denied_charge_changes_nothing
                a_weighted_denial_leaves_room_for_a_smaller_charge
                all_quotas_are_charged_or_none
                a_charge_of_nothing_is_recorded
                tenths_add_up_exactly
                a_record_may_lead_into_debt_which_ends_with_the_window
                an_unlimited_quota_admits_and_counts
                a_plan_without_quotas_admits_and_records
                sixty_four_quotas_decide_together
                a_lifetime_sum_beyond_the_bound_is_refused_and_what_is_taken_out_gives_room
                an_instant_on_a_boundary_belongs_to_the_window_that_begins
                a_look_from_the_next_window_leaves_this_one_exact
                time_never_runs_backwards
                an_unknown_client_is_refused_and_leaves_no_trace
                an_instant_too_far_ahead_is_refused_and_changes_nothing
                an_earlier_instant_of_the_callers_counts_as_the_accounts_latest
            }
            holds {
                a_hold_sets_credits_aside_and_settling_charges_the_actual_cost
                holds_count_against_the_limit_and_a_denied_hold_changes_nothing
                releasing_gives_everything_back
                a_settled_entry_stands_in_the_holds_window_even_after_it_has_passed
                a_hold_expires_at_its_instant
                an_expired_hold_is_not_raised_by_a_clock_that_is_behind
                a_look_at_the_future_forgets_no_hold
                extending_moves_the_expiry_from_now
                a_hold_that_would_outlive_2099_is_refused
                a_hold_of_the_longest_ttl_lives_366_days
                an_active_hold_can_be_ended_without_a_plan
                a_hold_made_by_one_process_is_ended_by_another
                no_more_than_10_000_holds_are_active
                a_hold_without_an_id_is_refused
                a_guard_that_is_dropped_releases_its_hold
                a_guard_settles_in_time_or_records_late
                a_guard_that_is_detached_leaves_its_hold
                a_shutdown_releases_the_guards_that_live
            }
            ids {
                the_same_id_and_credits_charge_once
                a_replay_tells_when_its_entry_counts
                the_same_id_with_other_credits_is_a_conflict
                a_replay_is_answered_when_the_quota_is_spent_and_in_a_later_window
                a_denied_id_can_be_tried_again
                an_id_is_free_after_a_void
                a_void_of_nothing_takes_nothing
                a_void_of_another_instant_takes_nothing
                a_void_gives_back_in_the_entrys_own_window
                an_id_is_free_after_a_deletion
                an_id_is_free_after_its_hold_was_released_or_has_expired
                an_active_holds_id_is_taken
                a_replayed_hold_is_not_prolonged
                a_settlement_again_is_replayed_or_a_conflict
                ids_of_one_client_are_not_anothers
                ids_are_compared_by_bytes
                ids_of_any_text_are_backfilled_labelled_listed_and_voided
                ids_are_remembered_for_a_day_where_only_quarters_are_kept
                an_id_of_long_ago_is_remembered_from_when_it_was_written
                a_look_at_the_future_forgets_no_id
                no_more_than_100_000_ids_are_remembered_where_only_quarters_are_kept
            }
            plans {
                setting_a_plan_counts_what_was_used_and_is_held
                removing_a_plan_and_setting_one_keeps_what_was_used
                another_anchor_asks_the_ledger
                a_plan_set_by_one_process_binds_the_others_next_request
                a_request_with_another_version_of_the_plan_is_told_the_accounts
                a_stored_plan_is_read_as_it_was_set
                a_refused_plan_leaves_the_old_one
                two_processes_with_different_plans_lose_no_sums
                twenty_five_plans_in_turn_count_the_same_ledger
                usage_ahead_of_the_clock_counts_in_its_own_window
                a_window_that_no_process_has_seen_begins_at_nothing
                a_restart_shows_the_same
                a_new_quota_never_counts_too_little
                a_deletion_never_raises_a_counter
            }
            usage {
                totals_are_half_open
                a_deletion_takes_its_range_and_no_more
                the_accounts_time_outlives_a_deletion
                a_backfill_counts_at_once_and_can_be_repeated
                a_backfill_may_lead_into_debt
                a_backfill_does_not_move_the_accounts_time
                a_refused_backfill_adds_nothing
                a_range_that_cuts_a_quarter_is_refused_where_only_quarters_are_kept
                entries_are_listed_in_order_page_by_page
                pages_go_on_where_they_ended_whatever_is_added_or_removed
                a_page_after_nonsense_is_refused
                a_page_after_a_cursor_of_another_range_is_refused
                labels_tell_days_apart
                labels_beyond_64_count_under_none_in_sums
                a_voided_labelled_entry_leaves_its_labels_sum
                a_settled_hold_keeps_its_label
                labels_of_two_processes_are_told_apart_alike
            }
            days {
                days_are_cut_in_the_readers_zone_and_empty_ones_left_out
                days_take_only_their_range
                days_of_23_and_25_hours_are_whole
                days_of_zones_off_the_hour_are_exact
                a_clock_change_inside_a_quarter_is_told_by_the_entries_where_they_are_kept
                a_deleted_day_is_left_out
            }
            clients {
                clients_that_differ_in_one_byte_are_different
                usage_of_any_client_is_mended_as_its_own
                a_client_id_may_have_255_bytes
                clients_are_listed_by_the_bytes_of_a_prefix
                clients_with_entries_or_a_plan_are_listed_once
                the_store_is_healthy
            }
            pruning {
                pruning_gives_nothing_back
                a_new_quota_counts_what_was_pruned
                a_range_that_cuts_a_pruned_quarter_is_refused
                what_was_pruned_can_be_deleted
                a_hold_that_is_settled_into_pruned_time_keeps_its_id
                pruning_again_takes_nothing_more
                a_service_spares_the_ids_of_the_last_day
                the_accounts_time_outlives_a_pruning
                pruning_while_charging_loses_nothing
                a_quarter_of_many_entries_is_pruned_whole
            }
            deletion {
                a_large_deletion_is_whole_at_once
                ids_of_a_large_deletion_are_free_at_once
                what_is_added_where_a_large_deletion_was_stays
                a_large_deletion_can_be_followed_by_another
                a_batch_may_add_where_it_has_deleted_much
                an_id_that_a_batch_has_deleted_is_charged_by_it
                a_pruning_finishes_large_deletions
                a_large_deletion_is_finished_by_many_while_charges_go_on
                a_page_of_entries_shows_a_deletion_whole
                a_deletion_is_one_step_for_every_reader
                many_entries_of_one_instant_are_paged_and_deleted
            }
            many_sums {
                many_sums_are_deleted_whole_at_once
                many_sums_of_what_is_folded_are_deleted_whole_at_once
            }
            batches {
                requests_of_one_client_run_in_order
                an_id_twice_in_one_batch_is_charged_once
                what_is_taken_out_in_a_batch_follows_what_was_put_in
                a_hold_is_made_and_ended_in_one_batch
                a_plan_that_is_set_in_a_batch_binds_what_follows
                a_new_window_counts_what_its_batch_has_charged
                a_charge_counts_what_was_backfilled_in_its_batch
                one_clients_refusal_leaves_the_others
                a_batch_of_a_thousand_is_answered_in_its_order
                an_empty_batch_has_no_answers
                a_made_id_is_kept_with_its_entry
            }
            concurrency {
                sixty_four_callers_get_exactly_the_limit
                two_processes_admit_exactly_the_limit
                clocks_an_hour_apart_open_no_window_twice
                one_id_from_many_tasks_is_charged_once
                many_clients_at_the_same_time_are_exact
                setting_plans_while_charging_never_opens_the_gate
                a_client_whose_plan_is_set_all_the_time_is_still_charged
                holds_and_charges_together_stay_below_the_limit
                callers_that_go_away_leave_nothing_half_done
                usage_is_told_while_a_client_is_charged_all_the_time
                deleting_while_charging_counts_each_entry_once
                one_backfill_from_two_processes_adds_each_entry_once
                concurrent_first_requests_agree
                a_plan_and_what_it_decides_are_of_one_moment
            }
            processes {
                an_answer_reflects_what_another_process_was_answered_before
                whatever_one_process_does_the_other_sees_at_once
                labels_that_come_at_once_are_64_in_sums
            }
            model {
                any_sequence_answers_as_a_list_of_entries_would
            }
            faults {
                a_deadline_tells_what_was_queued_from_what_was_sent
                an_unknown_charge_without_an_id_is_given_one
                a_caller_who_goes_away_withdraws_what_is_queued_and_not_what_was_sent
                a_hold_whose_caller_went_away_is_released
                a_shutdown_stores_what_is_queued_and_takes_nothing_more
                a_full_queue_refuses_and_does_nothing
                a_store_that_panics_leaves_the_next_batch_alone
                a_store_failure_is_an_error_and_nothing_is_charged
                only_store_failures_open_a_service_that_fails_open
                who_asks_another_process_again_pays_once
            }
        }
    };
}

#[cfg(test)]
mod tests {
    /// A case that stands in no list is never run.
    #[test]
    fn every_case_is_listed() {
        let sources = [
            ("charging", include_str!("conformance/charging.rs")),
            ("holds", include_str!("conformance/holds.rs")),
            ("ids", include_str!("conformance/ids.rs")),
            ("plans", include_str!("conformance/plans.rs")),
            ("usage", include_str!("conformance/usage.rs")),
            ("days", include_str!("conformance/days.rs")),
            ("clients", include_str!("conformance/clients.rs")),
            ("pruning", include_str!("conformance/pruning.rs")),
            ("deletion", include_str!("conformance/deletion.rs")),
            ("batches", include_str!("conformance/batches.rs")),
            ("concurrency", include_str!("conformance/concurrency.rs")),
            ("processes", include_str!("conformance/processes.rs")),
            ("model", include_str!("conformance/model.rs")),
            ("faults", include_str!("conformance/faults.rs")),
        ];
        let listed: Vec<&str> =
            crate::conformance::cases::<crate::SharedMemory>().iter().map(|case| case.name).collect();
        let case = |line: &str| line.strip_prefix("pub async fn ")?.split('<').next().map(str::to_owned);
        for (noun, source) in sources {
            for name in source.lines().filter_map(case) {
                assert!(listed.contains(&format!("{noun}::{name}").as_str()), "{noun}::{name}");
            }
        }
    }
}
