//! One client of a batch, in a transaction of its own.

use quota_core::ClientId;
use quota_service::{Answers, Batch, ClientRequests};

use crate::failure::{Failure, Undone};
use crate::grace::Grace;
use crate::server::batch::{Applying, Given, fail, given};
use crate::server::engine::{Engine, Wait};
use crate::server::reading::What;

impl<E: Engine> Applying<E> {
    /// Runs a client's requests, waiting for its lock. Where rows of a large deletion are in their way, these are taken out for
    /// a while; from then on the client has batches of its own, in which nobody else waits for that.
    pub(super) async fn alone<'a>(&self, batch: &'a Batch, client: ClientRequests<'a>) -> Given {
        let mut answers = batch.answers();
        let mut done = self.persist_alone(client, &mut answers).await;
        if let Err(Undone::NotDone(Failure::Unfinished)) = &done {
            self.held.note_long(client.client());
            done = self.after_deletion(client, Grace::begin(batch, self.patience), &mut answers).await;
        }
        if let Err(undone) = done {
            fail(&[client], &undone, &mut answers);
        }
        given(&[client], answers)
    }

    async fn persist_alone(&self, client: ClientRequests<'_>, answers: &mut Answers) -> Result<(), Undone> {
        let is_held = || self.held.is_held(client.client());
        // It may be free by now, and need no turn.
        if self.connections.are_waited_for()
            && is_held()
            && self.persist(&[client], Wait::Skip, answers).await?.is_empty()
        {
            return Ok(());
        }
        self.persist(&[client], Wait::Wait, answers).await.map(drop)
    }

    /// Runs a client's requests once the rows in their way are taken out.
    async fn after_deletion(
        &self,
        client: ClientRequests<'_>,
        grace: Grace,
        answers: &mut Answers,
    ) -> Result<(), Undone> {
        let (mut in_vain, mut steps) = (0, 1);
        while in_vain < 2 {
            if !self.take_out_within(client.client(), steps, grace).await? {
                in_vain += 1;
            }
            // Not all of it may be in the way.
            steps *= 2;
            match self.persist_alone(client, answers).await {
                Err(Undone::NotDone(Failure::Unfinished)) => {}
                done => return done,
            }
        }
        // Nobody else has taken it out meanwhile: the deletion that is in the way is one of these requests.
        if client.len() == 1 {
            return Err(Undone::NotDone(Failure::Unfinished));
        }
        self.one_by_one(client, grace, answers).await;
        Ok(())
    }

    /// Runs each of a client's requests in a transaction of its own, and takes out in between what a deletion among them has
    /// left.
    async fn one_by_one(&self, client: ClientRequests<'_>, grace: Grace, answers: &mut Answers) {
        for (place, request) in client.iter() {
            let batch = Batch::new(vec![request.clone()]);
            let mut own = batch.answers();
            for requests in batch.clients() {
                let mut done = self.persist_alone(requests, &mut own).await;
                if let Err(Undone::NotDone(Failure::Unfinished)) = &done {
                    done = Box::pin(self.after_deletion(requests, grace, &mut own)).await;
                }
                if let Err(undone) = done {
                    fail(&[requests], &undone, &mut own);
                }
            }
            own.finish().into_iter().for_each(|answer| answers.give(place, answer));
        }
    }

    /// Takes out some of what a large deletion of this client has left, whether there was anything. A step that is still under
    /// way when the time is over is rolled back with its connection.
    async fn take_out_within(&self, client: &ClientId, steps: u64, grace: Grace) -> Result<bool, Undone> {
        let taking = async {
            for taken in 0..steps {
                if self.step(client, quota_core::Instant::MAX, What::Deleted).await?.is_none() {
                    return Ok(taken > 0);
                }
            }
            Ok(true)
        };
        match tokio::time::timeout(grace.left(), taking).await {
            Ok(taken) => taken.map_err(Undone::before_the_requests),
            Err(_) => Err(Undone::NotDone(Failure::Unfinished)),
        }
    }
}
