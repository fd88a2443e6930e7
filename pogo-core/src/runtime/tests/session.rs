use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    id::{BootId, ClusterName, Incarnation, MemberId, MemberName, RequestId, Scope},
    membership::{
        Capabilities, Event, Join, MemberMetadata, MemberStatus, Membership, MembershipError,
        NameChoice, OwnedUpdate, Presence, Put, PutOutcome, Session, SharedRecords,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
    runtime::{
        StartError,
        clock::SystemClock,
        session::{FromSession, Joining, Line},
    },
    time::Timestamp,
};

/// A backend whose joins fail until told otherwise, whose presence waits for permits, and whose
/// records never answer.
#[derive(Debug)]
struct Fake {
    refusals: Mutex<Vec<MembershipError>>,
    permits: Semaphore,
    done: Mutex<Vec<String>>,
    feeds: Mutex<Vec<mpsc::UnboundedSender<Event>>>,
}

impl Fake {
    fn new(refusals: Vec<MembershipError>) -> Arc<Self> {
        Arc::new(Self {
            refusals: Mutex::new(refusals),
            permits: Semaphore::new(0),
            done: Mutex::default(),
            feeds: Mutex::default(),
        })
    }

    async fn note(&self, what: &str) -> Result<(), MembershipError> {
        self.permits.acquire().await.unwrap().forget();
        self.done.lock().unwrap().push(what.to_owned());
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Fake>);

#[async_trait]
impl Membership for Shared {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least(Duration::from_secs(1), Duration::ZERO)
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        if let Some(refusal) = self.0.refusals.lock().unwrap().pop() {
            return Err(refusal);
        }
        let (NameChoice::Exactly(name) | NameChoice::Suffixed(name)) = join.name;
        let (feed, events) = mpsc::unbounded_channel();
        self.0.feeds.lock().unwrap().push(feed);
        let events = stream::unfold(events, |mut events| async {
            let event = events.recv().await?;
            Some((event, events))
        });
        Ok(Session {
            me: MemberId { name, incarnation: Incarnation::new(1), boot: join.boot },
            presence: Arc::new(self.clone()),
            records: Arc::new(self.clone()),
            claims: None,
            events: events.boxed(),
        })
    }
}

#[async_trait]
impl Presence for Shared {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.0.note(&status.to_string()).await
    }

    async fn publish(&self, _batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.0.note("publish").await
    }

    async fn owned(
        &self,
        _member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        Ok(vec![None; keys.len()])
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        None
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.0.note("leave").await
    }
}

#[async_trait]
impl SharedRecords for Shared {
    async fn put(&self, _batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        std::future::pending().await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        Ok(vec![None; keys.len()])
    }
}

fn joining(fake: &Arc<Fake>) -> Joining {
    let join = Join {
        cluster: ClusterName::new("c").unwrap(),
        scope: Scope::new("s").unwrap(),
        name: NameChoice::Exactly(MemberName::new("m").unwrap()),
        boot: BootId::from_random(1),
        metadata: MemberMetadata::default(),
        within: Duration::from_secs(15),
        clock: Arc::new(SystemClock::start_now()),
    };
    let membership = Arc::new(Shared(Arc::clone(fake)));
    Joining { membership, join, seed: 1 }
}

async fn line(fake: &Arc<Fake>) -> Line {
    let joining = joining(fake);
    let session = joining.first().await.unwrap();
    Line::new(joining, session)
}

fn unavailable() -> MembershipError {
    MembershipError::Unavailable { backend: "fake", reason: "down".to_owned() }
}

async fn answer(line: &mut Line) -> (u64, Answer) {
    let came = line.next().await;
    let FromSession::Answer(id, answer) = came else { panic!("no answer: {came:?}") };
    (id.get(), answer)
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_one_thing_at_a_time_and_reads_overtake() {
    let fake = Fake::new(Vec::new());
    let mut line = line(&fake).await;
    line.request(RequestId::new(1), MembershipRequest::SetStatus(MemberStatus::Active));
    line.request(RequestId::new(2), MembershipRequest::Publish(Vec::new()));
    line.request(RequestId::new(3), MembershipRequest::Leave);
    line.request(RequestId::new(4), MembershipRequest::Get(vec![Key::new("k")]));
    assert!(matches!(answer(&mut line).await, (4, Answer::Got(_))));
    assert!(line.next().now_or_never().is_none());
    fake.permits.add_permits(3);
    for id in 1..=3 {
        assert!(matches!(answer(&mut line).await, (got, Answer::Done) if got == id));
    }
    assert_eq!(*fake.done.lock().unwrap(), ["active", "publish", "leave"]);
}

#[tokio::test(start_paused = true)]
async fn every_request_is_answered_when_its_session_ends() {
    let fake = Fake::new(Vec::new());
    let mut line = line(&fake).await;
    line.request(RequestId::new(1), MembershipRequest::Put(Vec::new()));
    line.request(RequestId::new(2), MembershipRequest::Publish(Vec::new()));
    line.request(RequestId::new(3), MembershipRequest::Publish(Vec::new()));
    fake.feeds.lock().unwrap().clear();
    assert!(matches!(line.next().await, FromSession::Ended));
    line.request(RequestId::new(4), MembershipRequest::Leave);
    for id in 1..=4 {
        let (got, answer) = answer(&mut line).await;
        assert!(matches!(answer, Answer::Failed(MembershipError::SessionEnded)));
        assert_eq!(got, id);
    }
    assert!(line.next().now_or_never().is_none());
    assert!(fake.done.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn joining_again_goes_on_until_it_succeeds() {
    let fake = Fake::new(Vec::new());
    let mut line = line(&fake).await;
    let name = MemberName::new("m").unwrap();
    *fake.refusals.lock().unwrap() = vec![unavailable(), MembershipError::NameTaken { name }];
    line.rejoin();
    let FromSession::Joined(me) = line.next().await else { panic!("not joined") };
    assert_eq!(me.boot, BootId::from_random(1));
    fake.feeds.lock().unwrap()[1].send(Event::Synced).unwrap();
    assert!(matches!(line.next().await, FromSession::Event(Event::Synced)));
}

#[tokio::test(start_paused = true)]
async fn first_join_waits_out_an_outage_but_not_a_refusal() {
    let fake = Fake::new(vec![unavailable(), unavailable()]);
    assert!(joining(&fake).first().await.is_ok());

    let name = MemberName::new("m").unwrap();
    let fake = Fake::new(vec![MembershipError::NameTaken { name }, unavailable()]);
    assert!(matches!(joining(&fake).first().await, Err(StartError::Join { .. })));

    let fake = Fake::new(vec![unavailable(); 1_000]);
    let Err(StartError::JoinTimeout { last: Some(_), .. }) = joining(&fake).first().await else {
        panic!("joined")
    };
}
