//! The hosts of a URL, apart.

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::connect_error::ConnectError;

/// How to connect to each host of these, in their order, and to none beside it.
pub(super) fn each(config: &Config) -> Result<Vec<Config>, ConnectError> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        let message = "it has another number of hostaddr than of hosts".to_owned();
        return Err(ConnectError::InvalidUrl { message });
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        let message = "it has another number of ports than of hosts".to_owned();
        return Err(ConnectError::InvalidUrl { message });
    }
    let one = |place: usize| {
        let mut one = without_host(config);
        if let Some(Host::Tcp(name)) = hosts.get(place) {
            one.host(name);
        }
        #[cfg(unix)]
        if let Some(Host::Unix(path)) = hosts.get(place) {
            one.host_path(path);
        }
        if let Some(address) = addresses.get(place) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(place).or(ports.first()) {
            one.port(*port);
        }
        one
    };
    Ok((0..hosts.len()).map(one).collect())
}

/// Everything that a URL can say, but for where. The driver has no way to take a host out.
fn without_host(config: &Config) -> Config {
    let mut other = Config::new();
    other
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    config.get_user().map(|user| other.user(user));
    config.get_password().map(|password| other.password(password));
    config.get_dbname().map(|name| other.dbname(name));
    config.get_options().map(|options| other.options(options));
    config.get_application_name().map(|name| other.application_name(name));
    config.get_connect_timeout().map(|timeout| other.connect_timeout(*timeout));
    config.get_tcp_user_timeout().map(|timeout| other.tcp_user_timeout(*timeout));
    config.get_keepalives_interval().map(|interval| other.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| other.keepalives_retries(retries));
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_what_the_url_says_of_it_and_of_all() {
        let rest = "/d?application_name=n&options=-cwork_mem%3D1MB&sslmode=require&sslnegotiation=direct&connect_timeout=7\
             &tcp_user_timeout=8&keepalives=0&keepalives_idle=9&keepalives_interval=10&keepalives_retries=11\
             &target_session_attrs=read-write&channel_binding=disable&load_balance_hosts=random";
        let all: Config = format!("postgres://u:p@a:1,b:2,%2Fsocket:3{rest}").parse().unwrap();
        let places = ["a:1", "b:2", "%2Fsocket:3"];
        for (one, place) in each(&all).unwrap().iter().zip(places) {
            assert_eq!(*one, format!("postgres://u:p@{place}{rest}").parse().unwrap());
        }
        assert_eq!(each(&all).unwrap().len(), places.len());
    }

    #[test]
    fn addresses_and_ports_belong_to_hosts() {
        let each = |url: &str| each(&url.parse().unwrap());
        let both = each("host=a,b hostaddr=10.0.0.1,10.0.0.2 port=7").unwrap();
        assert_eq!(both[1], "host=b hostaddr=10.0.0.2 port=7".parse().unwrap());
        for wrong in ["postgres://a,b/d?hostaddr=10.0.0.1", "host=a,b port=1,2,3"] {
            assert!(matches!(each(wrong), Err(ConnectError::InvalidUrl { .. })), "{wrong}");
        }
    }
}
