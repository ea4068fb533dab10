//! Plans in a file.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quota_service::{ClientId, Credits, PlanFile, PlanFileError, QuotaService, ServiceError};
use quota_store_memory::MemoryStore;
use tempfile::TempDir;

use crate::given::{ann, client, clock, daily, monthly};

const DAY: &str = r#"{"period":"DAY","every":1,"limit":"5","anchor":"2024-01-01T00:00:00Z","tz":"UTC"}"#;
const MONTH: &str = r#"{"period":"MONTH","every":1,"limit":"7","anchor":"2024-01-01T00:00:00Z","tz":"UTC"}"#;

fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plans.json");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn plans_of(client: &str, quotas: &str) -> String {
    format!(r#"{{"clients": {{"{client}": {{"quotas": [{quotas}]}}}}}}"#)
}

/// One client with one quota in the third line, in which `from` is replaced.
fn with_quota(from: &str, to: &str) -> String {
    assert_eq!(DAY.matches(from).count(), 1, "{from}");
    format!("{{\"clients\": {{\n\"ann\": {{\"quotas\": [\n{}\n]}}\n}}}}\n", DAY.replace(from, to))
}

/// What is wrong, and in which line.
fn mistake(text: &str) -> (usize, String) {
    let (_folder, path) = written(text);
    match PlanFile::open(&path) {
        Err(error @ PlanFileError::Invalid { line, .. }) => {
            let shown = error.to_string();
            assert!(shown.contains(path.to_str().unwrap()), "{shown}");
            assert_eq!(shown.matches(&format!("line {line}")).count(), 1, "said once: {shown}");
            (line, shown)
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_file_of_plans_is_read() {
    let text = format!(
        r#"{{"clients": {{"ann": {{"quotas": [{DAY}]}}, "bob": {{"quotas": [{MONTH}]}}, "caf\u00e9": {{"quotas": []}}}}}}"#
    );
    let (_folder, path) = written(&text);
    let plans = PlanFile::open(path).unwrap();
    assert_eq!(plans.plan_of(&ann()).as_deref(), Some(&daily(5)));
    assert_eq!(plans.plan_of(&client("bob")).as_deref(), Some(&monthly(7)));
    assert_eq!(plans.plan_of(&client("café")).unwrap().quotas(), []);
    assert_eq!(plans.plan_of(&client("Ann")), None);
}

#[test]
fn a_file_without_clients_is_one() {
    let (_folder, path) = written(r#"{"clients": {}}"#);
    assert_eq!(PlanFile::open(path).unwrap().plan_of(&ann()), None);
}

#[test]
fn what_is_no_json_of_the_form_is_named_by_its_line() {
    for (line, text) in [
        (1, String::new()),
        (1, " ".to_owned()),
        (1, "[]".to_owned()),
        (1, "{}".to_owned()),
        (2, "{\"clients\":\n[]}".to_owned()),
        (2, "{\"clients\": {}}\n{}".to_owned()),
        (2, "{\n\"client\": {}}".to_owned()),
        (3, "{\"clients\": {},\n\n\"more\": 1}".to_owned()),
        (2, "{\"clients\": {},\n\"clients\": {}}".to_owned()),
        (4, "{\"clients\": {\n\n\n\"ann\" {}}}".to_owned()),
        (3, "{\"clients\": {\n\"ann\":\n{}}}".to_owned()),
        (2, "{\"clients\": {\n\"ann\": {\"quotas\": 5}}}".to_owned()),
        (3, "{\"clients\": {\"ann\": {\n\"quotas\": [],\n\"plan\": 1}}}".to_owned()),
        (1, "{\"clients\": {\"ann\": {\"quotas\": [".to_owned()),
    ] {
        let (found, shown) = mistake(&text);
        assert_eq!(found, line, "{text:?}: {shown}");
    }
}

#[test]
fn what_is_no_quota_is_named_by_its_line() {
    let bounds = "every 0 is not between 1 and 100000";
    for (from, to, says) in [
        (r#""every":1"#, r#""every":0"#, bounds),
        (r#""every":1"#, r#""every":100001"#, "is not between 1 and 100000"),
        (r#""every":1"#, r#""every":99999999999999999"#, "is not between 1 and 100000"),
        (r#""every":1"#, r#""every":-1"#, "-1"),
        (r#""every":1"#, r#""every":1.5"#, "1.5"),
        (r#""every":1"#, r#""every":"1""#, "string"),
        (r#""every":1,"#, "", "every"),
        (r#""DAY""#, r#""FORTNIGHT""#, "FORTNIGHT"),
        (r#""DAY""#, r#""day""#, "day"),
        (r#""DAY""#, "1", "unit"),
        (r#""limit":"5""#, r#""limit":"-5""#, "not negative"),
        (r#""limit":"5""#, r#""limit":"0.0000001""#, "at most six decimals"),
        (r#""limit":"5""#, r#""limit":"9223372036854.775808""#, "at most 9223372036854.775807"),
        (r#""limit":"5""#, r#""limit":"Unlimited""#, "digits"),
        (r#""limit":"5""#, r#""limit":"NaN""#, "digits"),
        (r#""limit":"5""#, r#""limit":"""#, "digits"),
        (r#""limit":"5""#, r#""limit":5"#, "decimal string"),
        (r#""limit":"5""#, r#""limit":null"#, "decimal string"),
        ("00:00Z", "00:00.0001Z", "three decimals"),
        ("2024-01-01", "1969-12-31", "between 1970 and 2099"),
        ("2024-01-01", "2100-01-01", "between 1970 and 2099"),
        ("2024-01-01", "2024-02-30", "RFC 3339"),
        (r#""UTC""#, r#""Mars/Olympus""#, "Mars/Olympus"),
        (r#""UTC""#, r#""""#, "zone"),
        (r#","tz":"UTC""#, "", "tz"),
        (r#","tz""#, r#","name":"x","tz""#, "name"),
        (r#","tz""#, r#","every":1,"tz""#, "duplicate field"),
    ] {
        let (line, shown) = mistake(&with_quota(from, to));
        assert_eq!(line, 3, "{to}: {shown}");
        assert!(shown.contains(says), "{to}: {shown}");
    }
}

#[test]
fn quotas_that_make_no_plan_are_named_by_their_last_line() {
    let (line, shown) = mistake(&format!("{{\"clients\":\n{{\"ann\": {{\"quotas\": [{DAY},\n{DAY}\n]}}}}}}"));
    assert_eq!(line, 4, "{shown}");
    assert!(shown.contains("two quotas have the period day"), "{shown}");

    let many: Vec<_> = (1..=65).map(|every| DAY.replace(r#""every":1"#, &format!(r#""every":{every}"#))).collect();
    let (_, shown) = mistake(&plans_of("ann", &many.join(",\n")));
    assert!(shown.contains("more than 64"), "{shown}");
}

#[test]
fn a_client_that_is_none_or_there_twice_is_named_by_its_line() {
    for (name, says) in [("", "empty"), ("a\\u0007b", "control"), ("a\\nb", "control"), (&*"x".repeat(256), "255")] {
        let (line, shown) = mistake(&format!("{{\"clients\": {{\n\n\"{name}\": {{\"quotas\": []}}}}}}"));
        assert_eq!(line, 3, "{shown}");
        assert!(shown.contains(says), "{shown}");
    }
    let twice =
        "{\"clients\": {\n\"ann\": {\"quotas\": []},\n\"bob\": {\"quotas\": []},\n\"\\u0061nn\": {\"quotas\": []}}}";
    let (line, shown) = mistake(twice);
    assert_eq!(line, 4, "{shown}");
    assert!(shown.contains("\"ann\" occurs twice"), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_by_its_path() {
    fn unreadable(path: &Path) -> String {
        let error = PlanFile::open(path).unwrap_err();
        assert!(matches!(error, PlanFileError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error.source().unwrap().to_string()
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = unreadable(&folder.path().join("missing.json"));
    assert!(missing.contains("No such file") || missing.contains("cannot find"), "{missing}");
    assert!(!unreadable(folder.path()).is_empty());
    let binary = folder.path().join("binary.json");
    fs::write(&binary, [0xff, 0xfe]).unwrap();
    assert!(unreadable(&binary).contains("UTF-8"));
}

#[tokio::test]
async fn a_reload_binds_the_next_charge_and_a_broken_one_keeps_the_last_good_plans() {
    let (_folder, path) = written(&plans_of("ann", DAY));
    let plans = std::sync::Arc::new(PlanFile::open(&path).unwrap());
    fs::write(&path, plans_of("ann", MONTH)).unwrap();
    plans.reload().unwrap();
    assert_eq!(plans.plan_of(&ann()).as_deref(), Some(&monthly(7)));

    for broken in ["", "{\"clients\": {", &plans_of("ann", "{}")] {
        fs::write(&path, broken).unwrap();
        assert!(matches!(plans.reload(), Err(PlanFileError::Invalid { .. })));
        assert_eq!(plans.plan_of(&ann()).as_deref(), Some(&monthly(7)));
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(plans.reload(), Err(PlanFileError::Unreadable { .. })));
    assert_eq!(plans.plan_of(&ann()).as_deref(), Some(&monthly(7)));

    fs::write(&path, plans_of("bob", DAY)).unwrap();
    plans.reload().unwrap();
    assert_eq!(plans.plan_of(&ann()), None, "who is no longer in the file is unknown");
    assert_eq!(plans.plan_of(&client("bob")).as_deref(), Some(&daily(5)));
}

/// Asks until it is so, for at most ten seconds.
async fn eventually(so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "not in ten seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_change_of_the_file_is_noticed() {
    let (_folder, path) = written(&plans_of("ann", DAY));
    let service = QuotaService::builder(MemoryStore::new())
        .with_plan_file(PlanFile::open(&path).unwrap())
        .with_clock(clock())
        .build();
    let limit = async |client: &ClientId| match service.status(client).await {
        Ok(status) => status.lowest().map(|quota| quota.limit().to_string()).unwrap_or_default(),
        Err(ServiceError::Refused(refusal)) => refusal.code().to_owned(),
        Err(error) => panic!("{error}"),
    };
    let (ann, bob) = (ann(), client("bob"));
    assert!(service.charge(&ann, Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(limit(&ann).await, "5");
    assert_eq!(limit(&bob).await, "unknown_client");

    fs::write(&path, plans_of("bob", MONTH)).unwrap();
    eventually(async || limit(&bob).await == "7").await;
    assert_eq!(limit(&ann).await, "unknown_client");
    assert!(matches!(service.charge(&ann, Credits::ONE).await, Err(ServiceError::Refused(_))));
    assert!(matches!(service.set_plan(&ann, daily(1)).await, Err(ServiceError::PlansReadOnly)));

    // Broken, then whole again under another name, as editors and deployments do it.
    fs::write(&path, "{").unwrap();
    let new = path.with_extension("new");
    fs::write(&new, plans_of("ann", &DAY.replace("\"5\"", "\"50\""))).unwrap();
    assert_eq!(limit(&bob).await, "7");
    fs::rename(&new, &path).unwrap();
    eventually(async || limit(&ann).await == "50").await;
    assert_eq!(limit(&bob).await, "unknown_client");
}
