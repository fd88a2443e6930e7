//! A session's task: renewals and the feed over one connection, and the next one where it breaks.
//!
//! A new connection counts once three things are certain: the store is in the life that the
//! session began in, with nothing less in it than was seen; the lease is still there; and the
//! member's link key names this connection, so that nothing which an earlier one sent comes
//! through any more.

use std::{sync::Arc, time::Duration};

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use pogo_core::membership::{Backoff, Health};
use tokio::time::sleep;

use crate::{
    codec::{LinkMark, encode},
    connect::Connection,
    error::{Intent, unavailable},
    feed::{Feed, fall},
    lease::keep_alive,
    life::random,
    session::{Fall, Shared},
};

/// Pauses between attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the session going until it ends.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut feed: Feed,
    mut connection: Arc<Connection>,
    mut mark: LinkMark,
) {
    loop {
        let mut fell = tokio::select! {
            meaning = keep_alive(&shared, &connection) => fall(meaning),
            fall = feed.follow(&shared, &connection) => fall,
            fall = failed(&shared, mark) => fall,
        };
        let mut told = None;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut tries = 0;
        (connection, mark) = loop {
            shared.set_down(&fell);
            let Fall::Broken(error) = &fell else {
                tracing::debug!(member = %shared.me, "the session has ended");
                return feed.tell_end();
            };
            let reason = error.to_string();
            if told.as_ref() != Some(&reason) {
                tracing::warn!(member = %shared.me, %reason, "the store does not serve this member");
                feed.tell_health(Health::Degraded { reason: reason.clone() });
                told = Some(reason);
            }
            sleep(backoff.next_delay(random().unwrap_or_default())).await;
            tries += 1;
            match reopen(&shared, connection.index, mark, tries).await {
                Ok(opened) => break opened,
                Err(again) => fell = again,
            }
        };
        shared.set_up(Arc::clone(&connection), mark);
        tracing::info!(member = %shared.me, "the store serves this member again");
        feed.tell_health(Health::Healthy);
    }
}

/// Waits until a request has found that the connection is broken.
async fn failed(shared: &Shared, mark: LinkMark) -> Fall {
    loop {
        if let Some(fall) = shared.fall_of(mark) {
            return fall;
        }
        shared.link_failed.notified().await;
    }
}

/// The next connection, to the server after that of the one that fell, or to one further on.
async fn reopen(
    shared: &Shared,
    fallen: usize,
    last: LinkMark,
    tries: u64,
) -> Result<(Arc<Connection>, LinkMark), Fall> {
    let from = fallen.wrapping_add(usize::try_from(tries).unwrap_or_default());
    let opened = Connection::open(&shared.config, from, &shared.keys.epoch()).await;
    let (connection, answer) = opened.map_err(Fall::Broken)?;
    let seen = crate::session::lock(&shared.memory).revision;
    if !shared.entered.goes_on(&answer, seen) {
        tracing::warn!(member = %shared.me, "the store has lost data: joining again");
        return Err(Fall::Ended);
    }
    let mark = LinkMark { number: last.number + tries, ..last };
    let is_mine =
        Compare::lease(shared.keys.member(&shared.me.name), CompareOp::Equal, shared.lease);
    let leased = PutOptions::new().with_lease(shared.lease);
    let write = TxnOp::put(shared.keys.link(&shared.me.name), encode(&mark), Some(leased));
    let mut kv = connection.kv.clone();
    let answer = connection.answer(kv.txn(Txn::new().when([is_mine]).and_then([write]))).await;
    match answer {
        Ok(answer) if answer.succeeded() => Ok((Arc::new(connection), mark)),
        Ok(_gone) => Err(Fall::Ended),
        Err(meaning) => Err(match fall(meaning.clone()) {
            Fall::Ended => Fall::Ended,
            Fall::Broken(_) => Fall::Broken(match meaning.into_error(Intent::Read, 0) {
                error if error.is_retryable() => unavailable(error.to_string()),
                error => error,
            }),
        }),
    }
}
