//! Rocket, bare.

use std::net::{IpAddr, Ipv4Addr};

use rocket::config::{LogLevel, Shutdown};
use rocket::serde::json::Json;
use rocket::{get, routes};
use serde_json::Value;

use super::data;

/// As the quickstart does.
pub(super) fn serve(port: u16) -> anyhow::Result<()> {
    let config = rocket::Config {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port,
        log_level: LogLevel::Off,
        shutdown: Shutdown { grace: 10, mercy: 1, ..Shutdown::default() },
        ..rocket::Config::default()
    };
    let rocket = rocket::custom(config).mount("/api", routes![fetch_data, fetch_expensive_data]);
    let served = rocket::execute(rocket.launch());
    served.map(drop).map_err(|error| anyhow::anyhow!("the server: {error}"))
}

#[get("/fetch-data")]
fn fetch_data() -> Json<Value> {
    Json(data())
}

#[get("/fetch-expensive-data")]
fn fetch_expensive_data() -> Json<Value> {
    Json(data())
}
