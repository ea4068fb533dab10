//! What is asked where the collections are sharded by client.

use quota_core::{GroupBy, Tz, Window};
use quota_service::{DailyQuery, EntriesQuery, UsageStore};

use crate::between::{Between, contains};
use crate::collections::run;
use crate::requests::{DAY, after_noon, allowed, charge, client, delete, noon, one_at};

/// Else each shard would be asked. (Keys alone are read from their index, of whatever shard.)
#[test]
fn who_reads_a_clients_entries_and_sums_names_the_client() {
    run(async |collections| {
        let between = Between::new(collections);
        let store = between.store(collections).await;
        // What is asked at opening concerns nobody.
        between.sent();
        let quarter = 900_000;
        for millis in [0, 10, quarter, 2 * quarter] {
            assert!(allowed(&one_at(&store, "a", charge("1"), millis).await));
        }
        let range = Window::new(after_noon(5), after_noon(2 * quarter)).unwrap();
        assert_eq!(store.total(&client("a"), range).await.unwrap().to_string(), "2");
        let query = DailyQuery { range, zone: Tz::UTC, by: GroupBy::Day };
        assert_eq!(store.daily(&client("a"), &query).await.unwrap()[0].entries, 2);
        let query = EntriesQuery { range, after: None, limit: 1 };
        assert_eq!(store.entries(&client("a"), &query).await.unwrap().entries.len(), 1);
        one_at(&store, "a", delete(Window::new(noon(), after_noon(5)).unwrap()), 2 * quarter).await.unwrap();
        assert_eq!(store.prune(after_noon(DAY)).await.unwrap().entries, 3);
        let (mut finds, mut sums) = (0, 0);
        for command in between.sent() {
            let reads = |kind: &[u8], name: &[u8]| contains(&command, kind) && contains(&command, name);
            for name in [b"entries\0".as_slice(), b"quarters\0"] {
                let (found, summed) = (reads(b"\x02find\0", name), reads(b"\x02aggregate\0", name));
                if (found || summed) && !contains(&command, b"skip\0") {
                    assert!(contains(&command, b"\x02c\0"), "{}", String::from_utf8_lossy(&command));
                    (finds, sums) = (finds + i32::from(found), sums + i32::from(summed));
                }
            }
        }
        assert!(finds >= 4 && sums >= 5, "{finds} {sums}");
    });
}
