//! A feed with a flaw.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use pogo_core::{
    id::{Incarnation, MemberId},
    membership::{DownReason, Event, Health, MemberInfo, MemberMetadata, OwnedUpdate},
    record::Key,
};
use tokio::time::Instant;

use super::Flaw;

type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Changes what the feed of `me` says.
pub(super) fn with(
    flaw: Option<Flaw>,
    me: MemberId,
    events: Events,
    deaths: Arc<AtomicU64>,
) -> Events {
    let mut teller =
        Spoiler { flaw, me, told: 0, snapshots: 0, in_snapshot: false, others: vec![] };
    let told = events
        .map(move |event| {
            if matches!(event, Event::MemberDown(_, DownReason::Failed)) {
                deaths.fetch_add(1, Ordering::Relaxed);
            }
            stream::iter(teller.spoil(event))
        })
        .flatten();
    match flaw {
        Some(Flaw::TellsDeathsLate) => told.then(late).boxed(),
        Some(Flaw::HidesEvictions) => told.chain(stream::pending()).boxed(),
        _ => told.boxed(),
    }
}

async fn late(event: Event) -> Event {
    if matches!(event, Event::MemberDown(..)) {
        tokio::time::timeout_at(
            Instant::now() + Duration::from_secs(3),
            std::future::pending::<()>(),
        )
        .await
        .unwrap_err();
    }
    event
}

struct Spoiler {
    flaw: Option<Flaw>,
    me: MemberId,
    told: usize,
    snapshots: usize,
    in_snapshot: bool,
    others: Vec<MemberInfo>,
}

impl Spoiler {
    fn spoil(&mut self, event: Event) -> Vec<Event> {
        self.told += 1;
        if let Event::Reset { .. } = event {
            (self.snapshots, self.in_snapshot) = (self.snapshots + 1, true);
        } else if event == Event::Synced {
            self.in_snapshot = false;
        } else if let Event::MemberUp(info) = &event
            && info.id != self.me
        {
            self.others.push(info.clone());
        }
        match self.flaw {
            Some(flaw) => self.spoil_by(flaw, event),
            None => vec![event],
        }
    }

    fn spoil_by(&self, flaw: Flaw, mut event: Event) -> Vec<Event> {
        match (flaw, &mut event) {
            (Flaw::HidesItself, Event::MemberUp(info)) if info.id == self.me => return vec![],
            (Flaw::LosesMetadata, Event::MemberUp(info)) => {
                info.metadata = Arc::new(MemberMetadata::default());
            }
            (Flaw::CallsALeaveAFailure, Event::MemberDown(_, reason)) => {
                *reason = DownReason::Failed;
            }
            (Flaw::TellsEachEndTwice, Event::MemberDown(..))
            | (Flaw::TellsWritesTwice, Event::Shared(_)) => return vec![event.clone(), event],
            (
                Flaw::RepeatsIncarnations,
                Event::MemberUp(MemberInfo { id, .. })
                | Event::MemberDown(id, _)
                | Event::Owned(id, _),
            ) => {
                id.incarnation = Incarnation::new(1);
            }
            (Flaw::HidesEvictions, Event::Evicted)
            | (Flaw::HidesFreedClaims, Event::ClaimFree(_))
            | (Flaw::HidesOutages, Event::Health(_))
            | (Flaw::StartsWithoutReset, Event::Reset { .. }) => return vec![],
            (Flaw::SnapshotsNoReports, Event::Owned(..)) if self.in_snapshot => return vec![],
            (Flaw::SnapshotsHistory, Event::Owned(..)) if self.in_snapshot => {
                return vec![event; 50];
            }
            (Flaw::LosesEvents, Event::Shared(_) | Event::Owned(..))
                if self.told.is_multiple_of(10) =>
            {
                return vec![];
            }
            (Flaw::LeavesOutOfSnapshots, Event::MemberUp(info))
                if self.snapshots > 1 && info.id != self.me =>
            {
                return vec![];
            }
            (Flaw::HidesRollbacks, Event::Reset { rolled_back }) => *rolled_back = false,
            (Flaw::KillsTheLiving, Event::Owned(id, _)) if !self.in_snapshot => {
                let down = Event::MemberDown(id.clone(), DownReason::Failed);
                return vec![event, down];
            }
            (Flaw::KillsAllAfterAnOutage, Event::Health(Health::Healthy)) => {
                let down =
                    |info: &MemberInfo| Event::MemberDown(info.id.clone(), DownReason::Failed);
                return self.others.iter().map(down).chain([event]).collect();
            }
            (Flaw::TellsOwnRecords, Event::Owned(..)) => {
                let update = OwnedUpdate { key: Key::new("r"), value: None };
                return vec![event, Event::Owned(self.me.clone(), vec![update])];
            }
            (Flaw::GoesOnAfterItsEnd, Event::Evicted) => return vec![event, Event::Synced],
            _ => {}
        }
        vec![event]
    }
}
