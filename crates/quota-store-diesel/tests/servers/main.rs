//! What stores on servers promise beside the conformance suite, on PostgreSQL and on MySQL or MariaDB.

/// One `#[test]` for each of these, on each engine.
#[cfg(test)]
macro_rules! on_both {
    ($($noun:ident { $($case:ident)* })*) => {
        mod postgres {
            $(mod $noun {
                $(#[test]
                fn $case() {
                    crate::database::run(crate::database::Postgres::new, async |database| {
                        crate::$noun::$case(database).await
                    });
                })*
            })*
        }
        mod mysql {
            $(mod $noun {
                $(#[test]
                fn $case() {
                    crate::database::run(crate::database::Mysql::new, async |database| {
                        crate::$noun::$case(database).await
                    });
                })*
            })*
        }
    };
}

#[cfg(test)]
mod charging;
#[cfg(test)]
mod contending;
#[cfg(test)]
mod database;
#[cfg(test)]
mod defaults;
#[cfg(test)]
mod deleting;
#[cfg(test)]
mod encrypting;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod restarting;
#[cfg(test)]
mod retrying;

#[cfg(test)]
on_both! {
    opening {
        tables_that_are_not_ours_are_refused_and_left_alone
        a_table_that_is_gone_is_told
        a_newer_schema_is_refused
        tables_of_the_first_version_are_upgraded_with_what_is_in_them
        start_ups_at_the_same_time_migrate_once
        a_wrong_password_is_refused_and_never_shown
        a_server_that_is_not_there_is_told
        a_server_that_is_too_old_is_told_and_left_alone
        what_a_store_cannot_work_with_is_told_and_left_alone
        what_is_no_url_is_told_without_its_password
        a_right_that_lacks_is_named
        who_may_not_make_tables_is_told_and_uses_those_that_are_there
        other_prefixes_and_the_applications_own_tables_are_left_alone
    }
    charging {
        names_that_differ_in_any_byte_are_apart
        a_damaged_or_newer_account_is_its_clients_error
        a_fault_of_one_client_is_not_the_others
        an_unknown_client_leaves_no_row
        quarters_are_the_sums_of_entries
        reading_costs_quarters_and_not_entries
        a_quarter_of_many_entries_is_pruned_in_steps
        a_charge_of_the_instant_of_a_large_deletion_waits_for_none_of_its_rows
        rows_of_a_large_deletion_are_taken_out_by_a_pruning
        the_servers_time_is_now
    }
    contending {
        two_stores_on_one_client_admit_the_limit_exactly
        two_stores_that_make_the_same_clients_agree
        an_account_that_is_held_delays_nobody_else
        a_deadlock_is_tried_again
        an_account_that_stays_held_ends_in_nothing_done
        many_accounts_that_are_held_delay_nobody_else
        who_waits_behind_too_many_is_told
        many_readings_delay_nobody_else
        many_readings_behind_a_deletion_delay_nobody_else
        a_pruning_passes_over_who_is_held
        an_account_that_stays_held_is_waited_for_beside_others
        an_account_that_was_held_is_waited_for_beside_others
        a_batch_that_is_dropped_lets_its_accounts_go
    }
    defaults {
        a_server_with_other_defaults_is_served_alike
        names_are_compared_by_their_bytes_whatever_the_databases_collation
    }
    deleting {
        others_of_a_batch_wait_a_moment_for_what_a_deletion_left
        a_settlement_among_the_last_of_a_large_deletion_waits_for_few_of_its_rows
        two_large_deletions_of_one_batch_are_two_transactions
    }
    encrypting {
        a_server_is_trusted_by_its_certificate
        a_server_without_encryption_is_told
    }
    failing {
        a_full_disk_does_nothing_by_halves
        a_server_that_only_reads_is_refused
        a_server_that_only_reads_for_a_while_is_gone_on_with
    }
    keeping {
        what_another_store_has_charged_is_counted
        a_denial_is_what_the_tables_say
        what_writes_nothing_is_confirmed_with_what_does
        an_id_that_another_store_has_charged_is_answered_as_it_was
        a_label_that_another_store_has_added_stays
        a_sum_that_was_read_without_a_write_is_read_again
        an_id_that_is_written_meanwhile_is_found
        who_asks_again_is_found_beside_those_who_do_not
        who_was_overtaken_by_its_own_retry_pays_once
        rows_that_a_deletion_has_left_are_taken_out_first
        a_hold_that_another_store_has_ended_is_settled_once
        an_account_that_is_kept_and_held_delays_nobody_for_long
    }
    restarting {
        a_server_that_was_killed_has_what_was_answered
        connections_that_were_lost_are_replaced
        connections_that_the_server_ends_when_idle_are_replaced
    }
    retrying {
        what_others_end_is_tried_again_with_a_bound
        a_pruning_that_others_end_is_tried_again_with_a_bound
        what_is_late_before_its_commit_is_not_done
    }
}
