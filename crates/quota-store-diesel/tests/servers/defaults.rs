//! Servers and databases whose defaults are others than a store needs.

use crate::database::{Database, private};
use crate::{charging, contending, opening};

pub(crate) async fn a_server_with_other_defaults_is_served_alike<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    database.execute(D::OTHER_DEFAULTS).await;
    // Each with tables of its own.
    let another = || D::at(database.url().to_owned());
    opening::start_ups_at_the_same_time_migrate_once(&another()).await;
    contending::two_stores_on_one_client_admit_the_limit_exactly(&another()).await;
    contending::two_stores_that_make_the_same_clients_agree(&another()).await;
    charging::a_fault_of_one_client_is_not_the_others(&another()).await;
    charging::the_servers_time_is_now(&another()).await;
}

/// PostgreSQL 15 or newer has such databases.
pub(crate) async fn names_are_compared_by_their_bytes_whatever_the_databases_collation<D: Database>(database: &D) {
    let [make, remove] = D::COLLATED;
    database.execute(make).await;
    let (server, _) = database.url().rsplit_once('/').unwrap();
    let collated = D::at(format!("{server}/{}", database.fill("{p}collated")));
    collated.execute("CREATE TABLE {p}words (word VARCHAR(9)); INSERT INTO {p}words VALUES ('a'), ('B')").await;
    let before = collated.number("SELECT COUNT(*) FROM {p}words WHERE word < 'B'").await;
    assert_eq!(before, 1, "the database's own order is another");
    charging::names_that_differ_in_any_byte_are_apart(&collated).await;
    let keys = "SELECT COUNT(*) FROM information_schema.columns \
         WHERE table_name LIKE '{p}%' AND column_name IN ('client', 'id', 'label')";
    assert_eq!(collated.number(keys).await, 7);
    assert_eq!(collated.number(&format!("{keys} AND {}", D::BYTEWISE)).await, 7);
    database.execute(remove).await;
}
