//! What every adapter must show, a case for each promise, with the exact answers.
//!
//! An adapter serves one program in its framework's idiom ([`HttpHarness`]); [`crate::http_suite!`] makes a `#[test]` of every
//! case. The cases of [`transcripts`] hold every byte of the answers to one script against files, so adapters that pass them
//! answer alike; the others say what they look at.

mod answer;
pub mod answers;
mod asked;
pub mod bad_input;
pub mod clients;
mod connection;
pub mod described;
mod description;
pub mod endings;
pub mod failures;
mod faults;
mod fields;
mod ground;
pub mod handlers;
mod http2;
pub mod keeping;
mod leaving;
mod log;
mod logged;
pub mod logs;
mod named;
pub mod operators;
mod pause;
mod raw;
pub mod retries;
pub mod routes;
mod setting;
mod steady;
mod store;
pub mod streams;
mod transcript;
pub mod transcripts;
mod under_way;
pub mod usage;

use std::fmt;
use std::net::SocketAddr;

use http::Version;
use quota_http::{Answers, IdempotencyKeys, UsageApi};
use quota_service::SharedService;

pub use crate::http::asked::{
    charge_from_query, chunks_from_query, cost_of_chunk, hold_from_query, on_drop_from_query, ttl_from_query,
};
pub use crate::http::http2::Http2;
pub use crate::http::logged::logged;
pub use crate::http::named::{Member, Named, client_of_token, standing_of_role};
pub use crate::http::pause::{IMPATIENT, Pause, in_time, told};
pub use crate::http::retries::LONG_ROUTE;
pub use crate::http::steady::steady_service;

/// A framework that serves the suite's program, on a free port of the loopback interface and in threads and a runtime of its
/// own, until it is dropped. It speaks HTTP/1.1, and HTTP/2 without TLS.
///
/// The program, metered for the client that is [`Program::named`], each route for `GET` alone where nothing else is said:
///
/// | route | cost | answer |
/// | --- | --- | --- |
/// | `/one`, `/half`, [`LONG_ROUTE`] | 1, 0.5, 1 | 200, `ran` |
/// | `/five?work=` | 5 | does its [`Pause::work`], then 200, `ran` |
/// | `GET` and `OPTIONS /any` | 1 | 200, `ran` |
/// | `/by-query?n=` | computed: the query's `n`, by `credits_from_query` | 200, `ran` |
/// | `/by-waiting?n=` | the same, by a function that has to wait | 200, `ran` |
/// | `/free` | exempt | 200, `ran` |
/// | `/labelled` | 1, under the label `reports` | 200, `ran` |
/// | `POST /created` | 1 | 201, `Location: /made/1`, `X-RateLimit-Remaining: own`, `made` |
/// | `/number/{number}` | 1 | 200, `ran`; the framework's own refusal where this is no `u32` |
/// | `/success/{number}` | 4, on success | the same |
/// | `/answer?status=&work=` | 4, on success | does its [`Pause::work`], then that status, `ran` |
/// | `/accepted?status=` | 4, if the status is 202 | that status, `ran` |
/// | `/beside?credits=` | 4, on success, and the handler charges what [`charge_from_query`] says | 200, the credits |
/// | `/idle` | by the handler, which charges nothing | 200, `ran` |
/// | `/compute?credits=&id=&at=` | by the handler: charges what [`charge_from_query`] says | 200, the credits |
/// | `/record?credits=&id=&at=` | by the handler: records what [`charge_from_query`] says | 200, the credits |
/// | `/generate?max=&id=&actual=&fail=&work=` | by the handler, [`in_time`]: holds what [`hold_from_query`] says; does its [`Pause::work`]; where there is a `fail`, releases and answers 500, `failed`; else settles `actual` | 200, `late: false` |
/// | `/stream?max=&chunks=&then=&on_drop=&ttl=` | by the handler: holds `max`, for its [`ttl_from_query`]; settles the [`cost_of_chunk`] of all after the last, or by its [`on_drop_from_query`] | 200, its [`chunks_from_query`] |
/// | `/told` | 1, and the handler records 2 after it has seen the decision | what [`told`] says of both |
/// | `/twice` | 1, and the handler charges 2 more and records 0.5 | 200, `ran` |
/// | `/unlayered` | none, though its handler asks for quotas: not there where it [`HttpHarness::PAYS_BY_TYPE`] | 500 |
/// | `/quota` and `/v1/deep/quota`, and below | the usage API, for the same client | |
///
/// Where it [`HttpHarness::WRAPS`], a request with the header `X-Give-Up` is answered 504, `too late`, by a layer around the
/// app that gives it up where it has not ended in [`IMPATIENT`].
///
/// A handler's refusal is answered by the adapter's `Refused`.
pub trait HttpHarness {
    /// In which version the suite asks: [`Http2`] changes it.
    const VERSION: Version = Version::HTTP_11;

    /// Whether a handler is dropped where its client goes away before the answer has begun; else it runs to its end.
    const CANCELS: bool;

    /// Whether a streamed body that yields nothing is dropped when its client goes away; else when it next yields.
    const DROPS_STALLED: bool = false;

    /// Whether a route that pays can answer preflights, too. Where a handler's type says that it pays, it cannot do so for
    /// nothing: 500, and the log says why.
    const PAYS_BY_TYPE: bool = false;

    /// Whether a header whose value is no UTF-8 is as one that was not sent, to the application and so to us.
    const HIDES_OTHER_THAN_UTF8: bool = false;

    /// Whether something of the application's can be wrapped around everything, and give it up.
    const WRAPS: bool = true;

    /// Starts the program.
    fn serve(program: Program) -> Self;

    /// Where it listens.
    fn address(&self) -> SocketAddr;
}

/// What the suite says of the program.
#[derive(Clone)]
#[non_exhaustive]
pub struct Program {
    /// Who charges.
    pub service: SharedService,
    /// How quotas show.
    pub answers: Answers,
    /// Where requests carry keys; for all routes.
    pub keys: Option<IdempotencyKeys>,
    /// How clients are found.
    pub named: Named,
    /// What is mounted at `/quota` and at `/v1/deep/quota`.
    pub usage: UsageApi,
    /// Whether operators are those whom [`standing_of_role`] names by the header `X-Role`.
    pub operators_by_role: bool,
    /// Where handlers wait.
    pub pause: Pause,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("answers", &self.answers).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Makes a `#[test]` of every case in both versions of HTTP, for a type that is an [`HttpHarness`].
#[macro_export]
macro_rules! http_suite {
    ($harness:ty) => {
        $crate::http_suite! { @ $harness;
            answers {
                every_allowed_answer_says_what_remains,
                each_family_can_be_off,
                plans_without_a_limit_show_nothing,
                fractions_are_decimals_and_whole_in_the_fields,
                a_debt_is_shown_as_nothing_left,
                a_denial_says_what_to_do,
                where_waiting_never_helps_nobody_is_told_to_wait,
                of_two_violated_quotas_the_one_that_resets_last_is_shown,
                a_denial_of_a_handler_is_told_whatever_is_released_after_it,
                a_long_wait_is_not_told_beyond_the_bound,
                the_fields_are_structured_lists,
                parts_of_a_second_are_rounded_up,
                periods_of_several_units_are_named_by_their_number,
            }
            clients {
                who_names_no_client_is_challenged,
                a_client_without_a_plan_is_forbidden,
                the_same_client_named_twice_is_one,
                the_challenge_is_the_applications,
                authentication_may_name_the_client,
                a_function_may_name_the_client,
                nobody_is_looked_up_for_what_is_not_metered,
            }
            routes {
                a_route_costs_what_it_declares,
                entries_may_have_a_label_of_their_own,
                a_malformed_computed_cost_is_refused_and_nothing_is_charged,
                what_is_exempt_is_not_metered,
                an_encoded_path_is_no_way_around,
                head_is_charged_as_get,
                a_preflight_is_free_and_other_options_are_not,
                preflights_unmatched_paths_and_methods_without_a_handler_are_free,
                a_request_that_an_extractor_refuses_is_charged,
                what_the_handler_set_stays,
                what_the_handler_set_is_taken_out_where_no_quota_is_told,
            }
            handlers {
                a_handler_charges_exactly_what_it_says,
                amounts_that_are_none_are_named_and_nothing_is_charged,
                a_hold_is_settled_and_the_headers_say_so,
                a_hold_that_cannot_be_settled_is_released_and_the_headers_say_so,
                a_malformed_amount_after_the_hold_releases_it,
                a_failed_handler_releases_its_hold,
                a_hold_that_has_expired_is_not_active,
                nobody_holds_without_end,
                a_refusal_tells_of_the_decision_before_it_or_of_none,
                a_handler_may_charge_under_an_id_that_no_key_makes,
                a_handler_may_charge_at_an_instant_of_its_own,
                nobody_charges_ahead_of_time,
                several_charges_show_the_last,
                a_handler_that_charges_nothing_shows_what_remains,
                a_handler_has_the_decision_and_the_status_at_hand,
            }
            endings {
                a_handler_that_panics_releases_its_hold,
                a_handler_that_panics_is_not_charged_on_success,
                a_handler_that_is_given_up_releases_its_hold,
                a_client_that_goes_away_leaves_no_hold,
                a_client_that_goes_away_leaves_no_hold_on_success,
                a_stream_that_is_reset_leaves_no_hold,
                a_charge_before_stands_whoever_goes_away,
                a_hold_that_is_outlived_is_charged_all_the_same,
                a_hold_on_success_that_is_outlived_is_charged_all_the_same,
                a_request_that_a_layer_around_it_gives_up_leaves_no_hold,
            }
            streams {
                a_stream_that_ends_is_settled_before_its_end_is_seen,
                the_head_of_a_stream_leaves_nothing,
                a_stream_that_cannot_be_paid_does_not_begin,
                a_hold_is_renewed_while_it_is_streamed,
                a_stream_that_cannot_be_settled_leaves_nothing,
                a_stream_whose_client_goes_away_is_released,
                a_stream_whose_client_goes_away_may_be_paid_so_far,
                a_stream_that_breaks_off_is_released_and_its_key_is_free,
                a_stream_that_breaks_off_may_be_paid_so_far,
                what_becomes_of_a_stream_that_breaks_off_is_told,
            }
            retries {
                a_key_is_charged_once,
                a_key_that_is_too_long_beside_its_route_is_hashed,
                a_key_says_nothing_where_nobody_asked_for_keys,
                a_key_with_another_cost_is_a_conflict,
                a_hold_under_a_key_is_settled_once,
                what_a_handler_charges_beside_its_layer_is_charged_under_a_key_too,
                what_is_no_key_is_named,
                a_key_may_have_a_header_of_its_own,
                a_replay_may_run_again,
                only_success_is_charged,
                only_what_the_application_says_is_charged,
                a_failed_request_may_be_tried_again_under_its_key,
                a_key_of_what_no_handler_answers_stays_free,
                a_key_stays_free_until_something_is_paid,
                a_key_of_a_handler_that_panics_is_free_where_that_pays_nothing,
                a_key_under_way_is_a_conflict_and_is_left_alone,
                a_hold_of_another_cost_under_a_key_under_way_is_a_conflict,
                a_charge_under_a_key_under_way_is_told_so,
            }
            failures {
                a_store_that_fails_closed_is_unavailable_and_tells_nothing,
                a_store_that_fails_is_not_asked_again_for_the_headers,
                a_store_that_fails_open_runs_without_headers,
                plans_that_cannot_be_looked_up_are_as_a_store_that_fails,
                what_cannot_be_settled_is_unavailable,
                what_cannot_be_released_tells_nothing_of_it,
                what_cannot_be_settled_is_answered_where_the_service_fails_open,
                no_more_than_the_limit_runs_over_all_routes,
                no_more_than_the_limit_runs_at_the_same_time,
                too_many_at_once_are_unavailable,
                what_nobody_knows_is_charged_once_under_its_key,
                what_nobody_knows_is_settled_before_it_runs_leaves_the_key_free,
                a_client_that_goes_away_while_its_key_is_charged_has_it_free,
                what_is_taken_back_late_is_not_what_the_key_paid_for_since,
                what_no_handler_answers_is_taken_back_in_the_end,
                what_nobody_knows_is_held_leaves_the_key_free,
                what_nobody_knows_is_charged_is_taken_back_without_a_key,
                what_nobody_knows_is_settled_is_taken_back,
                what_nobody_knows_is_charged_stands_where_the_service_fails_open,
                a_charge_that_waits_is_not_made_for_a_client_that_goes_away,
            }
            usage {
                a_caller_reads_its_own_quotas_and_no_other,
                usage_is_told_by_day_and_label,
                usage_is_told_as_a_table,
                a_table_of_entries_says_where_it_goes_on,
                a_table_holds_no_formula,
                who_asks_is_described_as_the_application_says,
                every_resource_says_what_it_takes,
                it_answers_below_any_prefix,
                a_store_that_fails_is_a_503_that_tells_nothing,
            }
            operators {
                an_operator_reads_any_client_by_its_encoded_id,
                clients_and_entries_come_in_pages,
                entries_are_told_between_instants,
                a_plan_is_previewed_set_and_removed,
                a_plan_is_taken_in_any_form_that_is_described,
                a_form_is_a_post_whatever_method_it_names,
                usage_is_deleted_between_bounds_or_all_of_it,
                denials_are_told_the_last_one_first,
                holds_that_are_denied_are_told_too,
                denials_that_nobody_remembers_are_not_told,
                nobody_else_is_an_operator,
                operators_may_be_named_by_a_function,
                plans_of_the_applications_are_only_read,
            }
            keeping {
                a_bound_that_cuts_a_quarter_is_named,
                days_begin_at_quarters_wherever_they_begin,
                a_store_without_entries_has_none_to_tell,
                a_plan_beyond_the_calendar_is_named,
                a_plan_that_outlasts_what_is_kept_is_named,
                a_plan_of_the_applications_that_cannot_be_applied_is_its_own_fault,
                a_request_needs_no_id_where_no_more_are_remembered,
            }
            logs {
                what_operators_change_is_told_with_who_and_what,
                what_is_not_changed_is_not_told,
                what_was_perhaps_changed_is_told_as_that,
                a_change_is_told_though_its_operator_goes_away,
                why_a_handler_has_no_quota_is_told,
            }
            described {
                every_answer_that_is_described_is_given,
                what_is_on_the_wire_is_as_described,
            }
            transcripts {
                what_is_allowed,
                what_is_shown_by_default,
                what_is_shown_without_quota_headers,
                what_is_unlimited,
                what_has_no_quota,
                what_is_denied,
                what_is_refused,
                what_is_sent_again,
                what_runs_again,
                what_cannot_be_metered,
                what_runs_unchecked,
                what_a_caller_reads_back,
                what_an_operator_does,
            }
            bad_input {
                what_a_query_says_wrongly_is_named,
                what_a_body_says_wrongly_is_named,
                a_body_that_is_cut_off_is_no_plan,
                a_body_that_is_too_long_is_not_read,
                ids_that_are_none_are_named,
            }
        }
    };
    (@ $harness:ty; $($module:ident { $($case:ident,)* })*) => {
        $crate::http_suite! { @@ http1, $harness; $($module { $($case,)* })* }
        $crate::http_suite! { @@ http2, $crate::http::Http2<$harness>; $($module { $($case,)* })* }
    };
    (@@ $version:ident, $harness:ty; $($module:ident { $($case:ident,)* })*) => {
        mod $version {
            use super::*;
            $(mod $module {
                use super::*;
                $(#[test]
                fn $case() {
                    $crate::http::$module::$case::<$harness>();
                })*
            })*
        }
    };
}
