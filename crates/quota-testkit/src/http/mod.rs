//! What every adapter must show, a case for each promise, with the exact answers.
//!
//! An adapter serves one program in its framework's idiom ([`HttpHarness`]); [`crate::http_suite!`] makes a `#[test]` of every
//! case. Since each states its answers to the byte, adapters that pass it answer alike.

pub mod answers;
pub mod clients;
pub mod failures;
mod ground;
pub mod handlers;
pub mod retries;
pub mod routes;
pub mod usage;

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use quota_http::{Answers, IdempotencyKeys, UsageApi};
use quota_service::SharedService;

/// A framework that serves the suite's program. It keeps its own runtime, whatever that is.
///
/// The program, metered for the client of the header `X-Client-Id`, each route for `GET` alone where nothing else is said:
///
/// | route | cost | answer |
/// | --- | --- | --- |
/// | `/one`, `/five`, `/half` | 1, 5, 0.5 | 200, `ran` |
/// | `/by-query?n=` | computed: the query's `n`, by `credits_from_query` | 200, `ran` |
/// | `/free` | exempt | 200, `ran` |
/// | `POST /created` | 1 | 201, `Location: /made/1`, `X-RateLimit-Remaining: own`, `made` |
/// | `/number/{number}` | 1 | 200, `ran`; the framework's own refusal where this is no `u32` |
/// | `/answer?status=` | 4, on success | that status, `ran` |
/// | `/idle` | by the handler, which charges nothing | 200, `ran` |
/// | `/compute?credits=` | by the handler: charges that | 200, the credits |
/// | `/generate?max=&actual=&fail=` | by the handler: holds `max`; where `fail` is `true`, releases and answers 500, `failed`; else settles `actual` | 200, `late: false` |
/// | `/twice` | 1, and the handler charges 2 more and records 0.5 | 200, `ran` |
/// | `/quota` and below | the usage API, for the same client | |
///
/// A handler's refusal is answered by the adapter's `Refused`.
pub trait HttpHarness {
    /// Starts the program.
    fn serve(program: Program) -> Self;

    /// Sends one request, and waits for the whole answer.
    fn send(&self, request: Request<Bytes>) -> Response<Bytes>;
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
    /// What is mounted at `/quota`.
    pub usage: UsageApi,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("answers", &self.answers).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Makes a `#[test]` of every case, for a type that is an [`HttpHarness`].
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
                a_long_wait_is_not_told_beyond_the_bound,
                the_fields_are_structured_lists,
            }
            clients {
                who_names_no_client_is_challenged,
                a_client_without_a_plan_is_forbidden,
                the_same_client_named_twice_is_one,
            }
            routes {
                a_route_costs_what_it_declares,
                a_malformed_computed_cost_is_refused_and_nothing_is_charged,
                what_is_exempt_is_not_metered,
                head_is_charged_as_get,
                preflights_unmatched_paths_and_methods_without_a_handler_are_free,
                a_request_that_an_extractor_refuses_is_charged,
                what_the_handler_set_stays,
            }
            handlers {
                a_handler_charges_exactly_what_it_says,
                amounts_that_are_none_are_named_and_nothing_is_charged,
                a_hold_is_settled_and_the_headers_say_so,
                a_failed_handler_releases_its_hold,
                several_charges_show_the_last,
                a_handler_that_charges_nothing_shows_what_remains,
            }
            retries {
                a_key_is_charged_once,
                a_key_with_another_cost_is_a_conflict,
                a_hold_under_a_key_is_settled_once,
                what_is_no_key_is_named,
                a_replay_may_run_again,
                only_success_is_charged,
                a_failed_request_may_be_tried_again_under_its_key,
            }
            failures {
                a_store_that_fails_closed_is_unavailable_and_tells_nothing,
                a_store_that_fails_open_runs_without_headers,
                no_more_than_the_limit_runs_over_all_routes,
            }
            usage {
                a_caller_reads_its_own_quotas_and_no_other,
                an_operator_reads_any_client_by_its_encoded_id,
            }
        }
    };
    (@ $harness:ty; $($module:ident { $($case:ident,)* })*) => {
        $(mod $module {
            use super::*;
            $(#[test]
            fn $case() {
                $crate::http::$module::$case::<$harness>();
            })*
        })*
    };
}
