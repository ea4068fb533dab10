//! Transactions that the server ends because of others, as often as a test wants it.

use quota_core::{Answer, Operation, OperationId};
use quota_servers::Server;
use quota_service::{Pruned, StoreError, UsageStore};

use crate::database::Database;
use crate::requests::{Answered, allowed, charge_as, client, credits, is_not_done, noon, one, request, used};

/// What a server says of a transaction that it has ended, and how often the store tries.
struct Ended {
    code: &'static str,
    words: &'static str,
    tries: i64,
}

const POSTGRES: [Ended; 2] = [
    Ended { code: "40001", words: "could not serialize access due to concurrent update", tries: 8 },
    Ended { code: "40P01", words: "deadlock detected", tries: 3 },
];

const MYSQL: [Ended; 2] = [
    Ended { code: "1213", words: "Deadlock found when trying to get lock; try restarting transaction", tries: 8 },
    Ended { code: "1205", words: "Lock wait timeout exceeded; try restarting transaction", tries: 3 },
];

/// More than anybody tries.
const ALWAYS: i64 = 1_000;

fn endings<D: Database>() -> &'static [Ended] {
    if D::SERVER == Server::Postgres { &POSTGRES } else { &MYSQL }
}

/// Counts what is added to the entries and taken out of them, and ends it while the count is not above zero. What counts
/// is rolled back with nothing.
async fn install<D: Database>(database: &D, ended: &Ended) {
    let Ended { code, words, .. } = ended;
    if D::SERVER == Server::Postgres {
        let make = format!(
            "CREATE SEQUENCE {{p}}tries MINVALUE -{ALWAYS}; \
             CREATE FUNCTION {{p}}fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('{{p}}tries') <= 0 THEN RAISE EXCEPTION '{words}' USING ERRCODE = '{code}'; END IF; \
             RETURN COALESCE(NEW, OLD); END $$; \
             CREATE TRIGGER fail BEFORE INSERT OR DELETE ON {{p}}entries FOR EACH ROW EXECUTE FUNCTION {{p}}fail()"
        );
        return database.execute(&make).await;
    }
    database.execute("CREATE TABLE {p}tries (n INT) ENGINE = MyISAM; INSERT INTO {p}tries VALUES (0)").await;
    for event in ["INSERT", "DELETE"] {
        let make = format!(
            "CREATE TRIGGER {{p}}{event} BEFORE {event} ON {{p}}entries FOR EACH ROW BEGIN \
             UPDATE {{p}}tries SET n = n + 1; IF (SELECT n FROM {{p}}tries) <= 0 THEN \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = '{words}'; END IF; END"
        );
        database.execute(&make).await;
    }
}

/// Ends the next transactions, so many.
async fn end<D: Database>(database: &D, times: i64) {
    let set = if D::SERVER == Server::Postgres {
        format!("SELECT setval('{{p}}tries', -{times})")
    } else {
        format!("UPDATE {{p}}tries SET n = -{times}")
    };
    database.execute(&set).await;
}

/// How many transactions there were since the next `times` were to be ended.
async fn tries<D: Database>(database: &D, times: i64) -> i64 {
    let count = if D::SERVER == Server::Postgres { "last_value" } else { "n" };
    times + database.number(&format!("SELECT {count} FROM {{p}}tries")).await
}

async fn remove<D: Database>(database: &D) {
    let remove = if D::SERVER == Server::Postgres {
        "DROP FUNCTION {p}fail() CASCADE; DROP SEQUENCE {p}tries"
    } else {
        "DROP TRIGGER {p}INSERT; DROP TRIGGER {p}DELETE; DROP TABLE {p}tries"
    };
    database.execute(remove).await;
}

/// Asserts that nothing was done, and that the error has the server's words.
fn assert_not_done<T: std::fmt::Debug>(answer: Result<T, StoreError>, ended: &Ended) {
    let Err(error @ StoreError::NotDone { .. }) = answer else { panic!("{answer:?}") };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(ended.words), "{error}: {source}");
}

/// By a store that knows nothing yet, and so reads the account first.
async fn charge<D: Database>(database: &D, id: &str) -> Answered {
    one(&database.store().await, request("a", charge_as(id, "1"), "10")).await
}

pub(crate) async fn what_others_end_is_tried_again_with_a_bound<D: Database>(database: &D) {
    let store = database.store().await;
    for (place, ended) in endings::<D>().iter().enumerate() {
        install(database, ended).await;
        let (before, last) = (2 * place, ended.tries - 1);
        end(database, last).await;
        assert!(allowed(&charge(database, &format!("last {place}")).await));
        assert_eq!(tries(database, last).await, ended.tries, "{}", ended.words);

        end(database, ALWAYS).await;
        let id = format!("never {place}");
        assert_not_done(charge(database, &id).await, ended);
        assert_eq!(tries(database, ALWAYS).await, ended.tries, "{}", ended.words);
        let status = one(&store, request("a", Operation::Status, "10")).await;
        assert_eq!(used(&status), (before + 1).to_string());
        assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, i64::try_from(before + 1).unwrap());

        end(database, 0).await;
        for _ in 0..2 {
            let charged = charge(database, &id).await;
            assert!(allowed(&charged));
            assert_eq!(used(&charged), (before + 2).to_string(), "the second is a replay");
        }
        remove(database).await;
    }
}

pub(crate) async fn a_pruning_that_others_end_is_tried_again_with_a_bound<D: Database>(database: &D) {
    let store = database.store().await;
    let tomorrow = noon().saturating_add(std::time::Duration::from_secs(86_400));
    let all = quota_core::Window::ALL;
    for (place, ended) in endings::<D>().iter().enumerate() {
        let name = format!("c{place}");
        one(&store, request(&name, charge_as("i", "1"), "10")).await.unwrap();
        install(database, ended).await;
        end(database, ALWAYS).await;
        assert_not_done(store.prune(tomorrow).await, ended);
        assert_eq!(tries(database, ALWAYS).await, 3, "{}", ended.words);
        assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 1);
        assert_eq!(store.total(&client(&name), all).await.unwrap(), credits("1"));
        end(database, 2).await;
        assert_eq!(store.prune(tomorrow).await.unwrap(), Pruned { entries: 1, ids: 1 });
        assert_eq!(tries(database, 2).await, 3, "{}", ended.words);
        assert_eq!(store.total(&client(&name), all).await.unwrap(), credits("1"));
        remove(database).await;
    }
}

/// Each row takes its time, and all of them more than there is.
pub(crate) async fn what_is_late_before_its_commit_is_not_done<D: Database>(database: &D) {
    let store = database.connect_hasty().await.unwrap();
    let names = ["one", "two", "three", "four"];
    let voids =
        || names.map(|name| request("a", Operation::Void { id: OperationId::new(name).unwrap(), at: None }, "10"));
    for name in names {
        assert!(allowed(&charge(database, name).await));
    }
    let nap = if D::SERVER == Server::Postgres {
        "CREATE FUNCTION {p}nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.4); RETURN OLD; END $$; \
         CREATE TRIGGER nap BEFORE DELETE ON {p}entries FOR EACH ROW EXECUTE FUNCTION {p}nap()"
    } else {
        "CREATE TRIGGER {p}nap BEFORE DELETE ON {p}entries FOR EACH ROW DO SLEEP(1.4)"
    };
    database.execute(nap).await;
    let batch = voids().into_iter().chain([request("b", charge_as("i", "1"), "10")]).collect();
    let answers = store.apply(batch).await;
    for answer in &answers[..4] {
        assert!(is_not_done(answer), "{answers:?}");
    }
    assert!(allowed(&answers[4]), "its batch was late for another's sake: {answers:?}");
    let wake = if D::SERVER == Server::Postgres { "DROP FUNCTION {p}nap() CASCADE" } else { "DROP TRIGGER {p}nap" };
    database.execute(wake).await;
    for answer in store.apply(voids().into()).await {
        assert!(matches!(answer, Ok(Answer::Voided(true))), "{answer:?}");
    }
    assert_eq!(store.total(&client("a"), quota_core::Window::ALL).await.unwrap(), credits("0"));
}
