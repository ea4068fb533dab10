//! What the service promises, over stores that wait, fail and panic when a test asks for it.

mod alarms;
mod anew;
mod deadlines;
mod defaults;
mod dropped;
mod failures;
mod gated;
mod given;
mod guards;
mod holds;
mod hot_clients;
mod lanes;
mod metrics;
mod plan_file;
mod plans;
mod receipts;
mod server_time;
mod shutdown;
mod stored_plans;
mod told;
