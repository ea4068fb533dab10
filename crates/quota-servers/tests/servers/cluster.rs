//! A Redis Cluster.

use quota_servers::{Server, private};

use crate::client::{eventually, redis};

#[test]
fn a_cluster_serves_every_slot_and_has_a_replica_of_each() {
    let Some(server) = private(Server::RedisCluster) else { return };
    let nodes = redis(&server.nodes()[0], "CLUSTER NODES").unwrap();
    assert_eq!(nodes.matches(" master ").count() + nodes.matches(",master ").count(), 3, "{nodes}");
    assert_eq!(nodes.matches(" slave ").count(), 3, "{nodes}");
    // Its URL names those that began as primaries.
    let ports: Vec<String> = server.nodes()[..3].iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    assert_eq!(server.url(), format!("redis+cluster://{}", ports.join(",")));
    for number in 0..20 {
        assert_eq!(redis(&server.nodes()[0], &format!("SET name{number} value")).unwrap(), "OK");
    }
    assert_eq!(redis(&server.nodes()[0], "CONFIG GET cluster-node-timeout").unwrap().lines().last(), Some("1000"));
}

#[test]
fn the_replica_of_a_killed_primary_takes_over_and_the_killed_one_follows_it() {
    let Some(mut server) = private(Server::RedisCluster) else { return };
    redis(&server.nodes()[1], "SET foo value").unwrap();
    // A slot of the third primary.
    assert_eq!(redis(&server.nodes()[1], "CLUSTER KEYSLOT foo").unwrap(), "12182");
    eventually("the replica has it", || redis(&server.nodes()[5], "DBSIZE").is_ok_and(|count| count == "1"));

    server.nodes_mut()[2].kill();
    eventually("its replica serves", || redis(&server.nodes()[1], "GET foo").is_ok_and(|value| value == "value"));

    server.nodes_mut()[2].restart().unwrap();
    eventually("it follows", || redis(&server.nodes()[2], "ROLE").is_ok_and(|role| role.starts_with("slave")));
}

#[test]
fn a_cluster_keeps_what_it_was_told_over_a_kill_of_all_its_servers() {
    let Some(mut server) = private(Server::RedisCluster) else { return };
    redis(&server.nodes()[0], "SET foo value").unwrap();
    server.restart().unwrap();
    assert_eq!(redis(&server.nodes()[0], "GET foo").unwrap(), "value");
}
