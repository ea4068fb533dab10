//! The command, called for real.

mod asking;
mod charging;
#[cfg(target_os = "linux")]
mod confirming;
mod connecting;
mod cut_off;
mod dry_runs;
#[cfg(feature = "tls")]
mod encrypting;
mod escaping;
mod exact_rows;
mod folded_rows;
mod importing;
mod killed;
mod left_beside;
#[cfg(unix)]
mod lost_target;
mod many_rows;
mod odd_names;
mod odd_rows;
mod place;
mod progress;
#[cfg(unix)]
mod read_target;
mod reading;
mod relay;
mod repeating;
mod servers;
mod shared_keys;
mod stored_plans;
mod support;
mod targets;
#[cfg(target_os = "linux")]
mod terminal;
mod unkeyed;
