//! Stores that are left out of a build: of one with no feature at all, every one is.

use quota_stores::connect;

/// What each scheme needs, whether this build has it, and a URL as its store takes it.
const SCHEMES: [(&str, &str, bool, &str); 18] = [
    ("memory", "memory", cfg!(feature = "memory"), ""),
    ("sqlite", "sqlite", cfg!(feature = "sqlite"), "absent/quota.db"),
    ("postgres", "postgres", cfg!(feature = "postgres"), "//user:hunter2secret@127.0.0.1:1/d"),
    ("postgresql", "postgres", cfg!(feature = "postgres"), "//user:hunter2secret@127.0.0.1:1/d"),
    ("mysql", "mysql", cfg!(feature = "mysql"), "//user:hunter2secret@127.0.0.1:1/d"),
    ("redis", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("rediss", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("redis+cluster", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("rediss+cluster", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("redis+sentinel", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1/main"),
    ("rediss+sentinel", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1/main"),
    ("valkey", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("valkeys", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("valkey+cluster", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("valkeys+cluster", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1"),
    ("valkey+sentinel", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1/main"),
    ("valkeys+sentinel", "redis", cfg!(feature = "redis"), "//user:hunter2secret@127.0.0.1:1/main"),
    (
        "mongodb",
        "mongodb",
        cfg!(feature = "mongodb"),
        "//user:hunter2secret@127.0.0.1:1/d?serverSelectionTimeoutMS=100",
    ),
];

#[tokio::test]
async fn a_store_that_is_left_out_is_named_with_its_feature_and_one_that_is_not_is_tried() {
    for (scheme, feature, is_built, rest) in SCHEMES {
        let opened = connect(&format!("{scheme}:{rest}")).await.map(|_| ()).map_err(|error| error.to_string());
        let left_out =
            format!("the scheme {scheme} is not compiled in: build with the feature {feature} of quota-stores");
        assert_eq!(opened.as_ref().is_err_and(|error| *error == left_out), !is_built, "{scheme}: {opened:?}");
        assert!(!opened.is_err_and(|error| error.contains("hunter2secret")), "{scheme}");
    }
}

/// Whatever a build has, what no build has is told apart from what this one has not.
#[tokio::test]
async fn a_scheme_that_no_build_knows_is_told_so() {
    let error = connect("oracle://user:hunter2secret@127.0.0.1:1/d").await.unwrap_err().to_string();
    assert!(error.starts_with("no store has the scheme oracle: known are memory, sqlite, postgres"), "{error}");
}
