//! Processes on one store: racing for one limit, killed under load; servers killed under them; networks that fail.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod asked;
mod clocks;
mod contending;
mod cutting;
mod dialogue;
mod failing_over;
mod ground;
mod holding;
mod killing;
mod mending;
mod pausing;
mod pieces;
mod racing;
mod restarting;
mod rolling_back;
mod scenes;
mod stage;
mod worker;

use quota_servers::Server;

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
            eight_processes_of_sixteen_callers_that_never_let_up_starve_no_caller => contending::all,
            clocks_hours_apart_open_no_window_twice => clocks::apart,
            an_id_charged_by_eight_processes_is_charged_once => racing::ids,
            a_plan_set_by_one_of_eight_processes_binds_all_others => racing::plans,
            a_process_stopped_at_any_step_and_woken_leaves_sums_that_agree => pausing::stopped,
        });
    };
}

macro_rules! server {
    ($store:ident, $shared:expr, $private:expr) => {
        mod $store {
            use super::*;
            processes!(shared, $shared);
            suite!(own, $private, {
                a_server_killed_under_load_keeps_what_was_answered => restarting::killed,
            });
        }
    };
}

macro_rules! cluster {
    ($store:ident, $shared:expr, $private:expr) => {
        mod $store {
            use super::*;
            processes!(shared, $shared);
            suite!(own, $private, {
                servers_killed_under_load_keep_what_was_answered => restarting::killed,
                a_primary_killed_under_load_is_replaced_and_what_is_there_is_whole => failing_over::replaced,
            });
        }
    };
}

/// A connection that a proxy stands in. A cluster is the test's own: its nodes have to tell the proxies' addresses.
macro_rules! network {
    ($store:ident, $ground:expr) => {
        suite!($store, $ground, {
            a_charge_whose_connection_is_cut_at_any_piece_is_made_once => cutting::cut,
            a_charge_whose_answer_is_late_is_made_once => cutting::late,
            a_charge_that_arrives_after_its_callers_deadline_is_made_once => cutting::held,
            any_operation_whose_connection_is_cut_at_any_piece_is_done_as_it_answers_and_once => cutting::cut_in_any_operation,
            any_operation_past_its_callers_deadline_is_done_as_it_answers_and_once => cutting::late_in_any_operation,
            a_process_stopped_in_a_charge_and_woken_after_its_deadline_says_what_is_true => pausing::stopped_in_a_charge,
            a_process_stopped_in_any_operation_has_done_once_what_it_answers => pausing::stopped_in_any_operation,
            a_process_killed_in_any_operation_keeps_nobody_out_and_doubles_nothing => killing::at_each_piece,
        });
    };
}

/// A server of the test's own: a pruning concerns every client.
macro_rules! pruning {
    ($store:ident, $server:expr) => {
        suite!($store, Ground::private($server), {
            a_process_stopped_in_a_pruning_loses_nothing_and_folds_nothing_twice => pausing::stopped_in_a_pruning,
        });
    };
}

processes!(sqlite, Ground::sqlite());

server!(postgres, Ground::shared(Server::Postgres), Ground::private(Server::Postgres));
server!(mysql, Ground::shared(Server::Mysql), Ground::private(Server::Mysql));
server!(redis, Ground::shared(Server::Redis), Ground::private(Server::Redis));
server!(
    redis_sums,
    Ground::shared(Server::Redis).map(Ground::with_sums),
    Ground::private(Server::Redis).map(Ground::with_sums)
);
server!(mongodb, Ground::shared(Server::Mongodb), Ground::private(Server::Mongodb));

cluster!(redis_cluster, Ground::shared(Server::RedisCluster), Ground::private(Server::RedisCluster));
cluster!(
    redis_cluster_sums,
    Ground::shared(Server::RedisCluster).map(Ground::with_sums),
    Ground::private(Server::RedisCluster).map(Ground::with_sums)
);

mod network {
    use super::*;

    network!(postgres, Ground::shared(Server::Postgres));
    network!(mysql, Ground::shared(Server::Mysql));
    network!(redis, Ground::shared(Server::Redis));
    network!(redis_sums, Ground::shared(Server::Redis).map(Ground::with_sums));
    network!(redis_cluster, Ground::private(Server::RedisCluster));
    network!(redis_cluster_sums, Ground::private(Server::RedisCluster).map(Ground::with_sums));
    network!(mongodb, Ground::shared(Server::Mongodb));
}

mod losing_primaries {
    use super::*;

    suite!(mongodb, Ground::shared(Server::Mongodb), {
        what_the_next_primary_never_heard_of_is_written_into_no_ledger => rolling_back::forgotten,
    });
}

mod pruning {
    use super::*;

    pruning!(postgres, Server::Postgres);
    pruning!(mysql, Server::Mysql);
    pruning!(redis, Server::Redis);
    pruning!(redis_cluster, Server::RedisCluster);
    pruning!(mongodb, Server::Mongodb);
}
