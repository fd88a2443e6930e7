//! `service_monitor`: probes one service at its interval, for as long as it is wanted.
//!
//! A service that is down is what the monitor is there to see, so a probe's outcome is data and
//! never the child's failure. What was counted travels with the child on a planned move.

mod board;
mod probe;
mod service;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use pogo::{Child, ChildContext, ChildId, Exit};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(crate) use self::service::Settings;
pub use self::{
    board::{Board, Reading, Tally, Totals},
    probe::{Probe, Trouble, probe},
    service::{Service, ServiceError, Target},
};
use crate::ledger::Ledger;

/// The kind: what every monitor of a member shares.
#[derive(Debug, Clone, Default)]
pub struct ServiceMonitor {
    /// Where each monitor puts up its last result.
    pub board: Board,
    /// Where each run is written down.
    pub ledger: Ledger,
}

impl Child for ServiceMonitor {
    const KIND: &'static str = "service_monitor";
    type Args = Service;
    type State = Tally;

    #[expect(clippy::renamed_function_params, reason = "says what it is")]
    async fn run(&self, service: Service, cx: ChildContext<Tally>) -> Exit {
        let _span = self.ledger.begin(cx.id().as_str(), cx.member().as_str());
        let mut tally = cx.inherited()?.unwrap_or_default();
        cx.ready();
        let interval = service.probe_interval();
        let mut tick = interval_at(Instant::now() + offset(cx.id(), interval), interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = async {
                tick.tick().await;
                probe(&service).await
            };
            tokio::select! {
                probe = next => {
                    tally.count(&probe);
                    self.board.post(cx.id().as_str(), Reading::of(&service, probe, &tally));
                }
                _ = cx.stopping() => return Ok(cx.hand_over(&tally)?),
            }
        }
    }
}

/// When a monitor probes within the interval: its own moment, so that hundreds that start together
/// do not probe together.
fn offset(child: &ChildId, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    child.hash(&mut hasher);
    let share = u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX);
    interval.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitors_that_start_together_spread_over_their_interval() {
        let interval = Duration::from_secs(10);
        let mut tenths = [0; 10];
        for n in 0..300 {
            let child = ChildId::new(format!("service_monitor/web/{n}")).unwrap();
            let offset = offset(&child, interval);
            assert!(offset <= interval);
            tenths[usize::try_from(offset.as_secs().min(9)).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|monitors| (10..60).contains(monitors)), "{tenths:?}");
    }
}
