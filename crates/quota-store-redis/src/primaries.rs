//! The primaries of a cluster, and keys that stand on every one of them.

use std::collections::{HashMap, HashSet};

use redis::Value;
use redis::cluster_routing::Slot;

/// The tags of so many numbers lie on all slots together.
const NUMBERS: u32 = 1_000_000;

/// Tags of keys, one on each primary that has slots, from a node's answer to `CLUSTER SLOTS`. None where that is no such
/// answer.
pub(crate) fn tags(slots: &Value) -> Option<Vec<String>> {
    let owners = owners(slots)?;
    let mut without: HashSet<&str> = owners.values().map(String::as_str).collect();
    let mut tags = Vec::with_capacity(without.len());
    for number in 0..NUMBERS {
        if without.is_empty() {
            break;
        }
        let tag = number.to_string();
        if owners.get(&Slot::for_key(&tag)).is_some_and(|owner| without.remove(owner.as_str())) {
            tags.push(tag);
        }
    }
    without.is_empty().then_some(tags)
}

/// Which primary has a slot, named by its address and its id.
pub(crate) fn owners(slots: &Value) -> Option<HashMap<Slot, String>> {
    let Value::Array(ranges) = slots else { return None };
    let mut owners = HashMap::new();
    for range in ranges {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = parts.as_slice() else { return None };
        // Its host, its port, and its id: a cluster need not tell hosts.
        let [_, _, ..] = primary.as_slice() else { return None };
        let address = format!("{:?}", primary.iter().take(3).collect::<Vec<_>>());
        for slot in *first..=*last {
            owners.insert(Slot::new(u16::try_from(slot).ok()?)?, address.clone());
        }
    }
    Some(owners)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The slots from `first` to `last` of the primary with this port.
    pub(crate) fn range(first: i64, last: i64, port: i64) -> Value {
        let node = |port| Value::Array(vec![Value::BulkString(b"127.0.0.1".to_vec()), Value::Int(port)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node(port), node(port + 10_000)])
    }

    #[test]
    fn every_primary_has_one_tag_however_few_slots_it_has() {
        for (ranges, primaries) in [
            (vec![], 0),
            (vec![range(0, 16_383, 1)], 1),
            (vec![range(0, 5_460, 1), range(5_461, 10_922, 2), range(10_923, 16_383, 3)], 3),
            // One primary has two ranges, and another the first slot alone.
            (vec![range(0, 0, 1), range(1, 9, 2), range(10, 16_000, 3), range(16_001, 16_383, 2)], 3),
            ((0..16_384).map(|slot| range(slot, slot, slot)).collect(), 16_384),
            // The others are nobody's.
            (vec![range(16_383, 16_383, 7)], 1),
        ] {
            let slots = Value::Array(ranges);
            let (owners, tags) = (owners(&slots).unwrap(), tags(&slots).unwrap());
            let reached: HashSet<&String> = tags.iter().map(|tag| &owners[&Slot::for_key(tag)]).collect();
            assert_eq!((tags.len(), reached.len()), (primaries, primaries));
        }
    }

    /// As where a cluster is told not to name hosts.
    #[test]
    fn primaries_without_a_host_are_told_apart_by_their_ids() {
        let range = |first, last, id: &str| {
            let node = vec![Value::Nil, Value::Int(6_379), Value::BulkString(id.as_bytes().to_vec())];
            Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(node)])
        };
        let slots = Value::Array(vec![range(0, 9_000, "one"), range(9_001, 16_383, "other")]);
        assert_eq!(tags(&slots).unwrap().len(), 2);
    }

    #[test]
    fn what_tells_of_no_slots_is_no_answer() {
        let odd = Value::Array(vec![Value::Int(0), Value::Int(1)]);
        for slots in [Value::Nil, Value::Array(vec![Value::Int(0)]), Value::Array(vec![odd]), range(0, 1, 1)] {
            assert_eq!(tags(&slots), None, "{slots:?}");
        }
        assert_eq!(tags(&Value::Array(vec![range(0, 16_384, 1)])), None, "there is no such slot");
    }
}
