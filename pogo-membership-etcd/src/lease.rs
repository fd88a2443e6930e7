//! The lease: renewed each quarter of its time, for as long as its connection lasts (R16).

use std::sync::atomic::{AtomicU64, Ordering};

use pogo_core::time::Timestamp;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{connect::Connection, error::Meaning, session::Shared};

/// When the last renewal was sent that was acknowledged.
#[derive(Debug)]
pub(crate) struct Renewed(AtomicU64);

impl Renewed {
    pub(crate) const fn new(sent: Timestamp) -> Self {
        Self(AtomicU64::new(sent.as_nanos()))
    }

    /// An acknowledgement of a renewal that was sent then.
    pub(crate) fn acknowledge(&self, sent: Timestamp) {
        self.0.fetch_max(sent.as_nanos(), Ordering::AcqRel);
    }

    pub(crate) fn sent(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Acquire))
    }
}

/// Renews the lease until that fails; says why it did.
pub(crate) async fn keep_alive(shared: &Shared, connection: &Connection) -> Meaning {
    let every = shared.config.ttl / 4;
    let patience = shared.config.patience();
    let mut client = connection.client.lease_client();
    let clock = &shared.clock;
    let mut due = Instant::now();
    let sent = clock.now().mono;
    let (mut keeper, mut answers) = match connection.answer(client.keep_alive(shared.lease)).await {
        Ok(opened) => opened,
        Err(meaning) => return meaning,
    };
    shared.renewed.acknowledge(sent);
    loop {
        due += every;
        // After a pause there is nothing to catch up with.
        due = due.max(Instant::now());
        sleep_until(due).await;
        let sent = clock.now().mono;
        let renewal = async {
            keeper.keep_alive().await?;
            answers.message().await
        };
        match timeout(patience, renewal).await {
            Ok(Ok(Some(answer))) if answer.ttl() > 0 => shared.renewed.acknowledge(sent),
            Ok(Ok(Some(_))) => return Meaning::LeaseGone,
            Ok(Ok(None)) => return Meaning::Broken("the server closed the connection".to_owned()),
            Ok(Err(error)) => return connection.meaning(&error),
            Err(_late) => {
                return Meaning::Broken(format!("a renewal had no answer within {patience:?}"));
            }
        }
    }
}
