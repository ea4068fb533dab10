//! One connection and what can be done with it.

use std::sync::Arc;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::result::Error;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

use crate::failure::{Failure, Undone};
use crate::sqlite::fault::Fault;
use crate::sqlite::kept::KeptAccounts;
use crate::sqlite::ledger::SqliteLedger;
use crate::texts::Texts;

/// One connection of ours. Nobody else ever has it, so every transaction on it is ours.
pub(crate) struct Session {
    connection: SqliteConnection,
    texts: Arc<Texts>,
    kept: KeptAccounts,
}

impl Session {
    pub(crate) fn new(connection: SqliteConnection, texts: Arc<Texts>) -> Self {
        Self { connection, texts, kept: KeptAccounts::default() }
    }

    /// Runs in a transaction that holds the file's one write lock from the beginning, so what is read in it
    /// stays true until it ends. One that has written nothing ends without a commit, and so without a flush.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteLedger<'_>) -> Result<T, Failure>,
    ) -> Result<T, Undone> {
        self.begin("BEGIN IMMEDIATE").map_err(|error| Undone::NotDone(error.into()))?;
        let version = self.texts.data_version.with::<BigInt>(&[]).get_result(&mut self.connection);
        let mut ledger = SqliteLedger::new(&mut self.connection, &self.texts, &mut self.kept);
        let worked = version.map_err(Failure::from).and_then(|version| {
            ledger.kept.confirm(version);
            work(&mut ledger)
        });
        let has_written = ledger.has_written();
        let done = match worked {
            Ok(done) => done,
            Err(failure) => {
                self.kept.clear();
                self.abandon();
                return Err(Undone::NotDone(failure));
            }
        };
        if !has_written {
            self.abandon();
            return Ok(done);
        }
        match self.connection.batch_execute("COMMIT") {
            Ok(()) => Ok(done),
            Err(error) => {
                self.kept.clear();
                self.abandon();
                let certain = Fault::of(&error).precedes_the_commit();
                Err(if certain { Undone::NotDone(error.into()) } else { Undone::Unknown(Arc::new(error)) })
            }
        }
    }

    /// Runs in a transaction that sees one state of the file.
    pub(crate) fn read<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteLedger<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.begin("BEGIN")?;
        let done = work(&mut SqliteLedger::new(&mut self.connection, &self.texts, &mut self.kept));
        self.abandon();
        done
    }

    fn begin(&mut self, statement: &str) -> Result<(), Error> {
        match self.connection.batch_execute(statement) {
            Err(error) if Fault::of(&error) == Fault::Statement => {
                // A rollback failed before; without another try the connection would be lost for good.
                self.abandon();
                self.connection.batch_execute(statement)
            }
            done => done,
        }
    }

    /// Gives up whatever is open, after a panic.
    pub(crate) fn reset(&mut self) {
        self.kept.clear();
        self.abandon();
    }

    /// Rolls back. It fails where SQLite has done so itself, after a full disk for example.
    fn abandon(&mut self) {
        if let Err(error) = self.connection.batch_execute("ROLLBACK") {
            tracing::debug!(%error, "nothing was left to roll back");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use diesel::Connection;
    use diesel::connection::InstrumentationEvent;
    use quota_core::{
        ClientId, Credits, EntryId, Instant, Need, Operation, OperationId, Plan, PlanCheck, Terms, Window,
    };
    use quota_service::{Batch, PlanStamp, PlanView, Request};

    use super::*;
    use crate::batch;
    use crate::ledger::Ledger;
    use crate::prefix::TablePrefix;
    use crate::sqlite::builder::SqliteBuilder;
    use crate::sqlite::location::Location;
    use crate::sqlite::opening::open_writer;
    use crate::standing::Standing;

    fn request(client: &ClientId, operation: Operation) -> Request {
        let stamp = PlanStamp::lasting(0);
        let plan = PlanView { plan: Some(Arc::new(Plan::default())), check: PlanCheck::Any, stamp };
        Request { client: client.clone(), operation, at: Instant::MIN, asked: Instant::MIN, plan }
    }

    #[test]
    fn a_statement_is_prepared_once_however_often_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let builder = SqliteBuilder::new(folder.path().join("quota.db"));
        let location = Location::new(&builder.path).unwrap();
        let mut connection = open_writer(&builder, &location).unwrap();
        let prepared = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&prepared);
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                seen.lock().unwrap().push(sql.to_owned());
            }
        });
        let mut session = Session::new(connection, Arc::new(Texts::new(&TablePrefix::default())));
        let client = ClientId::new("a").unwrap();
        for round in 0..3 {
            let id = OperationId::new(format!("id {round}")).unwrap();
            let charge = Operation::Charge { credits: Credits::ONE, id: EntryId::Given(id.clone()), label: None };
            let batch = Batch::new(vec![
                request(&client, charge),
                request(&client, Operation::Void { id, at: None }),
                request(&client, Operation::Delete { range: Window::ALL }),
            ]);
            let mut answers = batch.answers();
            let course = batch::Course { terms: Terms::ENTRIES, looks_for_made: false };
            session.write(|ledger| batch::run(batch.clients(), course, ledger, &mut answers)).unwrap();
            for answer in answers.finish() {
                answer.unwrap();
            }
            let need = Need::Count(Window::ALL);
            session.read(|ledger| ledger.fact(&client, Standing::default(), &need)).unwrap();
        }
        let prepared = prepared.lock().unwrap();
        let mut distinct = prepared.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(prepared.len(), distinct.len(), "{prepared:?}");
        assert!(prepared.len() >= 8, "{prepared:?}");
    }
}
