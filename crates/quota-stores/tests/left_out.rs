//! A store that is left out of a build.
#![cfg(all(feature = "memory", not(feature = "sqlite")))]

use quota_stores::connect;

#[tokio::test]
async fn a_store_that_is_left_out_is_named_with_its_feature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quota.db");
    let error = connect(&format!("sqlite:{}", path.display())).await.unwrap_err();
    let message = "the scheme sqlite is not compiled in: build with the feature sqlite of quota-stores";
    assert_eq!(error.to_string(), message);
    assert!(!path.exists());
    assert!(connect("memory:").await.is_ok());
}
