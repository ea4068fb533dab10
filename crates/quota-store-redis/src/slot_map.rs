//! Which nodes of a cluster have which slots.

use std::collections::HashMap;
use std::fmt;

use redis::cluster_routing::Slot;
use redis::{ConnectionAddr, Value};

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    host: String,
    port: u16,
}

/// Which primaries have which slots, as a node tells it.
#[derive(Debug, Default)]
pub(crate) struct SlotMap {
    /// The primaries, and which of them a slot has.
    primaries: Vec<Place>,
    owners: HashMap<Slot, usize>,
}

impl Place {
    /// Of a server by its address; none where it has no port.
    pub(crate) fn of(address: &ConnectionAddr) -> Option<Self> {
        match address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Self { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// As a redirection names it. Where it names no host, that is the host of who redirects.
    pub(crate) fn redirected(text: &str, by: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::told(host, port.parse().ok()?, by))
    }

    fn told(host: &str, port: u16, by: &Self) -> Self {
        // "?" is a host that the node does not know, or not to be told.
        let host = if matches!(host, "" | "?") { &by.host } else { host };
        Self { host: host.to_owned(), port }
    }

    /// The address of this place, which is encrypted as the other one is.
    pub(crate) fn address(&self, as_at: &ConnectionAddr) -> ConnectionAddr {
        let (host, port) = (self.host.clone(), self.port);
        match as_at {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl SlotMap {
    /// From the answer to `CLUSTER SLOTS` of the node at `by`. None where it tells of no slots.
    pub(crate) fn read(slots: &Value, by: &Place) -> Option<Self> {
        let Value::Array(ranges) = slots else { return None };
        let mut map = Self::default();
        for range in ranges {
            map.add(range, by)?;
        }
        (!ranges.is_empty()).then_some(map)
    }

    fn add(&mut self, range: &Value, by: &Place) -> Option<()> {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = parts.as_slice() else { return None };
        let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
        let host = match host {
            Value::BulkString(host) => str::from_utf8(host).ok()?,
            Value::SimpleString(host) => host,
            Value::Nil => "",
            _ => return None,
        };
        let primary = Place::told(host, u16::try_from(*port).ok()?, by);
        let known = self.primaries.iter().position(|place| *place == primary);
        let place = known.unwrap_or(self.primaries.len());
        if known.is_none() {
            self.primaries.push(primary);
        }
        for slot in *first..=*last {
            self.owners.insert(Slot::new(u16::try_from(slot).ok()?)?, place);
        }
        Some(())
    }

    /// Whose a slot is.
    pub(crate) fn owner(&self, slot: Slot) -> Option<&Place> {
        self.primaries.get(*self.owners.get(&slot)?)
    }

    /// Every primary that has slots.
    pub(crate) fn primaries(&self) -> &[Place] {
        &self.primaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primaries::tests::range;

    fn place(text: &str) -> Place {
        let (host, port) = text.rsplit_once(':').unwrap();
        Place { host: host.to_owned(), port: port.parse().unwrap() }
    }

    fn owner(map: &SlotMap, slot: u16) -> Option<String> {
        map.owner(Slot::new(slot).unwrap()).map(ToString::to_string)
    }

    #[test]
    fn a_slot_is_that_of_its_ranges_primary() {
        let slots = Value::Array(vec![range(6_000, 16_383, 2), range(0, 4_999, 1), range(5_001, 5_001, 2)]);
        let map = SlotMap::read(&slots, &place("seed:7")).unwrap();
        let at = |port: u16| Some(format!("127.0.0.1:{port}"));
        for (slot, expected) in
            [(0, at(1)), (4_999, at(1)), (5_000, None), (5_001, at(2)), (5_002, None), (6_000, at(2)), (16_383, at(2))]
        {
            assert_eq!(owner(&map, slot), expected, "{slot}");
        }
        assert_eq!(map.primaries().len(), 2);
        assert_eq!(owner(&SlotMap::default(), 0), None);
    }

    #[test]
    fn a_host_that_is_not_told_is_the_tellers() {
        for host in [Value::Nil, Value::BulkString(Vec::new()), Value::SimpleString("?".to_owned())] {
            let node = Value::Array(vec![host, Value::Int(9)]);
            let slots = Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(1), node])]);
            let map = SlotMap::read(&slots, &place("seed:7")).unwrap();
            assert_eq!(owner(&map, 1).unwrap(), "seed:9");
        }
        let by = place("seed:7");
        for (text, expected) in
            [(":8", "seed:8"), ("?:8", "seed:8"), ("other:8", "other:8"), ("fe80::1:8", "fe80::1:8")]
        {
            assert_eq!(Place::redirected(text, &by).unwrap().to_string(), expected);
        }
        assert_eq!(Place::redirected("other", &by), None);
        assert_eq!(Place::redirected("other:x", &by), None);
    }

    #[test]
    fn what_tells_of_no_slots_is_no_answer() {
        let odd = Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(70_000)])]);
        for slots in [Value::Nil, Value::Array(Vec::new()), odd, Value::Array(vec![range(0, 70_000, 1)])] {
            assert!(SlotMap::read(&slots, &place("seed:7")).is_none(), "{slots:?}");
        }
    }

    #[test]
    fn a_place_is_reached_as_the_given_nodes_are() {
        let place = place("node:9");
        assert_eq!(
            place.address(&ConnectionAddr::Tcp("seed".to_owned(), 7)),
            ConnectionAddr::Tcp("node".to_owned(), 9)
        );
        let encrypted = |host: &str, port| ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: false,
            tls_params: None,
        };
        assert_eq!(place.address(&encrypted("seed", 7)), encrypted("node", 9));
        assert_eq!(Place::of(&encrypted("node", 9)), Some(place));
        assert_eq!(Place::of(&ConnectionAddr::Unix("socket".into())), None);
    }
}
