//! The feed: looks at the files every few milliseconds and tells what has changed.
//!
//! The first look is told whole, from `Reset` to `Synced`, and so is the first one after the
//! directory could not be read: the supervisor finds out by itself what is new and what is gone
//! ([`pogo::membership::ViewDiff`]), so a backend never has to remember what it told before a gap.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use pogo::{
    id::{MemberId, MemberName},
    membership::{Backoff, DownReason, Event, Health, OwnedUpdate},
    record::{Key, Record},
};
use tokio::time::sleep;

use crate::{
    directory::Mine,
    files::{Files, MemberFile},
};

/// From one look to the next.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Default, PartialEq)]
struct Picture {
    members: BTreeMap<MemberName, MemberFile>,
    records: BTreeMap<Key, Record>,
}

struct Feed {
    files: Files,
    me: MemberId,
    mine: Mine,
    /// `None` before the first look and after a gap.
    told: Option<Picture>,
    untold: VecDeque<Event>,
    backoff: Backoff,
}

/// What happens in the directory, as `me` sees it.
pub(crate) fn watch(files: Files, me: MemberId, mine: Mine) -> impl Stream<Item = Event> + Send {
    let backoff = Backoff::new(LOOK, Duration::from_secs(1));
    let feed = Feed { files, me, mine, told: None, untold: VecDeque::new(), backoff };
    stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        loop {
            match feed.untold.pop_front() {
                Some(Event::Evicted) => return Some((Event::Evicted, None)),
                Some(event) => return Some((event, Some(feed))),
                None => sleep(feed.look()).await,
            }
        }
    })
}

impl Feed {
    /// Looks once; returns the time to the next look.
    fn look(&mut self) -> Duration {
        let read = || -> io::Result<Picture> {
            Ok(Picture { members: self.files.members()?, records: self.files.records()? })
        };
        match read() {
            Ok(now) => {
                if self.backoff.tries() > 0 {
                    self.backoff.reset();
                    self.untold.push_back(Event::Health(Health::Healthy));
                }
                self.tell(now);
                LOOK
            }
            Err(error) => {
                self.told = None;
                let reason = error.to_string();
                self.untold.push_back(Event::Health(Health::Degraded { reason }));
                self.backoff.next_delay(u64::from(std::process::id()) << 16)
            }
        }
    }

    fn tell(&mut self, now: Picture) {
        let has_its_name = now.members.get(&self.me.name).is_some_and(|it| it.info.id == self.me);
        if self.told.is_some() && !has_its_name {
            // The others hold it to be gone, for a later start has its name or its file is old.
            self.mine.end();
            self.untold.push_back(Event::Evicted);
            return;
        }
        let told = self.told.take();
        if told.is_none() {
            self.untold.push_back(Event::Reset { rolled_back: false });
        }
        let is_whole = told.is_none();
        let told = told.unwrap_or_default();
        for (name, old) in told.members.iter().filter(|(_, old)| !old.left) {
            let reason = match now.members.get(name) {
                Some(new) if new.info.id != old.info.id => DownReason::Replaced,
                Some(new) if !new.left => continue,
                Some(_) => DownReason::Left,
                None => DownReason::Failed,
            };
            self.untold.push_back(Event::MemberDown(old.info.id.clone(), reason));
        }
        for (name, new) in now.members.iter().filter(|(_, new)| !new.left) {
            let old = told.members.get(name).filter(|old| old.info.id == new.info.id);
            if old.is_none_or(|old| old.info != new.info) {
                self.untold.push_back(Event::MemberUp(new.info.clone()));
            }
            if new.info.id != self.me {
                let nothing = BTreeMap::new();
                let changes = owned(old.map_or(&nothing, |old| &old.owned), &new.owned);
                self.tell_owned(&new.info.id, changes);
            }
        }
        let is_new = |(key, record): &(&Key, &Record)| told.records.get(*key) != Some(*record);
        let records = now.records.iter().filter(is_new);
        let records: Vec<_> = records.map(|(key, record)| (key.clone(), record.clone())).collect();
        if !records.is_empty() {
            self.untold.push_back(Event::Shared(records));
        }
        if is_whole {
            self.untold.push_back(Event::Synced);
        }
        self.told = Some(now);
    }

    fn tell_owned(&mut self, member: &MemberId, changes: Vec<OwnedUpdate>) {
        if !changes.is_empty() {
            self.untold.push_back(Event::Owned(member.clone(), changes));
        }
    }
}

fn owned(old: &BTreeMap<Key, Bytes>, new: &BTreeMap<Key, Bytes>) -> Vec<OwnedUpdate> {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let gone = gone.map(|key| OwnedUpdate { key: key.clone(), value: None });
    let set = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    let set = set.map(|(key, value)| OwnedUpdate { key: key.clone(), value: Some(value.clone()) });
    gone.chain(set).collect()
}
