//! A session with a flaw in what it does for those who ask.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use pogo_core::{
    id::{FencingToken, Incarnation, MemberId, Scope},
    membership::{
        Capabilities, ClaimOutcome, Claims, Join, MemberStatus, Membership, MembershipError,
        NameChoice, OwnedUpdate, Presence, Put, PutOutcome, Session, SharedRecords,
    },
    record::{Key, Record},
    time::{Clock, Timestamp},
};

use super::{Flaw, feed};

/// A backend with a flaw.
#[derive(Debug)]
pub(super) struct Flawed {
    pub(super) sound: Arc<dyn Membership>,
    pub(super) flaw: Option<Flaw>,
}

pub(super) fn spoil_promises(flaw: Option<Flaw>, mut promises: Capabilities) -> Capabilities {
    if flaw == Some(Flaw::HasNoLimit) {
        promises.max_value_bytes = 1_000;
    }
    promises
}

impl Flawed {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

#[async_trait]
impl Membership for Flawed {
    fn name(&self) -> &'static str {
        self.sound.name()
    }

    fn capabilities(&self) -> Capabilities {
        spoil_promises(self.flaw, self.sound.capabilities())
    }

    async fn join(&self, mut join: Join) -> Result<Session, MembershipError> {
        assert!(!self.has(Flaw::Panics), "on purpose");
        if self.has(Flaw::MixesScopes) {
            join.scope = Scope::new("conformance")?;
        }
        let clock = Arc::clone(&join.clock);
        let (wanted, choice) = (join.clone(), join.name.clone());
        let session = match (self.sound.join(join).await, choice) {
            (Err(MembershipError::NameTaken { name }), NameChoice::Exactly(_))
                if self.has(Flaw::SharesNames) =>
            {
                self.sound.join(Join { name: NameChoice::Suffixed(name), ..wanted }).await?
            }
            (joined, _) => joined?,
        };
        let Session { mut me, presence, records, claims, events } = session;
        if self.has(Flaw::RepeatsIncarnations) {
            me.incarnation = Incarnation::new(1);
        }
        let death = Arc::new(AtomicU64::new(0));
        let events = feed::with(self.flaw, me.clone(), events, Arc::clone(&death));
        let ttl = self.sound.capabilities().lease_ttl.unwrap_or_default();
        let part = Arc::new(Part {
            flaw: self.flaw,
            me: me.clone(),
            presence,
            records,
            claims,
            clock,
            death,
            ttl,
        });
        let claims = (part.claims.is_some() && !self.has(Flaw::HidesClaims))
            .then(|| Arc::<Part>::clone(&part) as Arc<dyn Claims>);
        let presence: Arc<dyn Presence> = Arc::<Part>::clone(&part);
        Ok(Session { me, presence, records: part, claims, events })
    }
}

/// All parts of a session.
#[derive(Debug)]
struct Part {
    flaw: Option<Flaw>,
    me: MemberId,
    presence: Arc<dyn Presence>,
    records: Arc<dyn SharedRecords>,
    claims: Option<Arc<dyn Claims>>,
    clock: Arc<dyn Clock>,
    /// How many deaths its feed told of.
    death: Arc<AtomicU64>,
    ttl: std::time::Duration,
}

impl Part {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

#[async_trait]
impl Presence for Part {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        if status == MemberStatus::Draining && self.has(Flaw::NeverDrains) {
            return Ok(());
        }
        self.presence.set_status(status).await
    }

    async fn publish(&self, mut batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        if self.has(Flaw::NeverRemoves) {
            batch.retain(|update| update.value.is_some());
        }
        if self.has(Flaw::PublishesBackwards) {
            // An old value once more, before the new one.
            let old = |update: &OwnedUpdate| {
                let last = update.value.as_ref()?.last()?.checked_sub(3)?;
                let mut value = update.value.as_ref()?.to_vec();
                *value.last_mut()? = last;
                Some(OwnedUpdate { key: update.key.clone(), value: Some(value.into()) })
            };
            let old: Vec<_> = batch.iter().filter_map(old).collect();
            self.presence.publish(old).await?;
        }
        match self.presence.publish(batch).await {
            Err(MembershipError::SessionEnded) if self.has(Flaw::TakesWritesOfTheEvicted) => Ok(()),
            answer => answer,
        }
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        if self.has(Flaw::ReadsNothing) {
            return Ok(keys.iter().map(|_| None).collect());
        }
        self.presence.owned(member, keys).await
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        let deadline = self.presence.lease_deadline()?;
        Some(match self.flaw {
            Some(Flaw::BelievesInLongerLeases) => deadline + self.ttl,
            Some(Flaw::RenewsWithoutContact) => self.clock.now().mono + self.ttl,
            _ => deadline,
        })
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        if self.has(Flaw::IgnoresLeaves) {
            return Ok(());
        }
        self.presence.leave().await
    }
}

#[async_trait]
impl SharedRecords for Part {
    async fn put(&self, mut batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        let asked = batch.clone();
        if self.has(Flaw::LosesTombstones) {
            batch.retain(|put| put.record.value.is_some());
        }
        let mut outcomes = self.records.put(batch).await?;
        match self.flaw {
            Some(Flaw::LosesTombstones) => outcomes.resize(asked.len(), PutOutcome::Applied),
            Some(Flaw::LosesOutcomes) => outcomes.truncate(3),
            Some(Flaw::AppliesWhatIsStale | Flaw::LetsAllRacersWin) => {
                outcomes.fill(PutOutcome::Applied);
            }
            _ => {}
        }
        Ok(outcomes)
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        let mut got = self.records.get(keys).await?;
        // Nobody is there to say so to somebody who comes after the death of all.
        let alone = self.me.name.as_str() == "three";
        if self.has(Flaw::LosesTheDeadsRecords) && (alone || self.death.load(Ordering::Relaxed) > 0)
        {
            got.fill(None);
        }
        if self.has(Flaw::MangleValues) {
            for record in got.iter_mut().flatten() {
                record.value = Some(Bytes::from_static(b"mangled"));
            }
        }
        Ok(got)
    }
}

#[async_trait]
impl Claims for Part {
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        let claims = self.claims.as_ref().unwrap();
        let mut outcomes = claims.acquire(keys).await?;
        for outcome in &mut outcomes {
            self.spoil(outcome);
        }
        Ok(outcomes)
    }

    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError> {
        self.claims.as_ref().unwrap().release(keys).await
    }
}

impl Part {
    fn spoil(&self, outcome: &mut ClaimOutcome) {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        match (self.flaw, &mut *outcome) {
            (Some(Flaw::RepeatsTokens), ClaimOutcome::Held { token }) => {
                *token = FencingToken::new(7);
            }
            (Some(Flaw::ChangesTokens), ClaimOutcome::Held { token }) => {
                let more = ASKED.fetch_add(1, Ordering::Relaxed);
                *token = FencingToken::new(token.get() + more);
            }
            (Some(Flaw::LetsAllHold), ClaimOutcome::HeldBy { token, .. }) => {
                *outcome = ClaimOutcome::Held { token: *token };
            }
            (Some(Flaw::NamesTheWrongHolder), ClaimOutcome::HeldBy { owner, .. }) => {
                *owner = self.me.clone();
            }
            _ => {}
        }
    }
}
