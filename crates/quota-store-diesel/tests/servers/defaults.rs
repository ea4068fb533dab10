//! Servers whose defaults are others than a store needs.

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
