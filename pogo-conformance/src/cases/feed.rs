//! The feed itself: its start, its gaps, and that it keeps up.

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, future::try_join_all};
use pogo_core::{
    membership::{Event, MemberStatus},
    record::{Key, Record},
};
use tokio::time::timeout;

use super::owned::in_order;
use crate::{
    failure::{Failure, Outcome, ensure},
    member::Member,
    truth::Fate,
    world::{World, new_boot},
};

pub(crate) async fn feed_starts_with_a_whole_snapshot(world: &World) -> Outcome {
    let one = world.join("one").await?;
    one.writes("spec/a", &world.record(&one, b"value")).await?;
    let mut session = world.session(world.joining("two", new_boot())?).await??;
    let mut events = Vec::new();
    loop {
        let next = timeout(world.patience(), session.events.next()).await;
        match next {
            Ok(Some(event)) => events.push(event),
            Ok(None) | Err(_) => {
                return Err(Failure::new(format!("no end of the first snapshot: {events:?}")));
            }
        }
        if events.last() == Some(&Event::Synced) {
            break;
        }
    }
    events.retain(|event| !matches!(event, Event::Health(_)));
    ensure!(
        matches!(events.first(), Some(Event::Reset { rolled_back: false })),
        "the feed starts with {:?}",
        events.first()
    );
    let resets = events.iter().filter(|event| matches!(event, Event::Reset { .. })).count();
    ensure!(resets == 1, "{resets} snapshots before the first has ended: {events:?}");
    for id in [&one.me, &session.me] {
        let is_up = |event: &Event| matches!(event, Event::MemberUp(info) if info.id == *id);
        ensure!(events.iter().any(is_up), "{id:?} is not in the first snapshot: {events:?}");
    }
    // From here on it is quiet: nothing of the snapshot comes a second time.
    world.truth.set_fate(&session.me, Fate::Harmed);
    let mut later = Vec::new();
    world
        .all_the_while(world.detection() / 2, "nothing follows", || {
            while let Some(Some(event)) = session.events.next().now_or_never() {
                later.push(event);
            }
            !later.iter().any(|it| matches!(it, Event::Reset { .. } | Event::Synced))
        })
        .await
}

/// Values under a few keys, which say in which order they were written.
const KEYS: u32 = 20;
const ROUNDS: u32 = 300;

async fn load(world: &World, writer: &Member) -> Outcome<BTreeMap<Key, Record>> {
    let mut written = BTreeMap::new();
    for round in 0..ROUNDS {
        let key = format!("r/{}", round % KEYS);
        writer.publish(&key, Some(&round.to_be_bytes())).await?;
        let key = format!("{}/{key}", writer.me.name);
        let record = world.record(writer, &round.to_be_bytes());
        writer.writes(&key, &record).await?;
        written.insert(Key::new(key), record);
    }
    Ok(written)
}

pub(crate) async fn nothing_is_lost_or_told_twice_under_load(world: &World) -> Outcome {
    let writers = world.members(["one", "two", "three"]).await?;
    let reader = world.join("reader").await?;
    let written = try_join_all(writers.iter().map(|writer| load(world, writer))).await?;
    let late = world.join("late").await?;
    for written in &written {
        for who in writers.iter().chain([&reader, &late]) {
            let own = format!("{}/", who.me.name);
            let others = || written.iter().filter(|(key, _)| !key.as_str().starts_with(&own));
            who.sees("the last of each shared record", |model| {
                others().all(|(key, record)| model.shared.get(key) == Some(record))
            })
            .await?;
        }
    }
    for writer in &writers {
        for who in writers.iter().chain([&reader, &late]).filter(|who| who.me != writer.me) {
            let last = |key: u32| (ROUNDS - KEYS + key).to_be_bytes();
            who.sees("the last of each owned record", |model| {
                (0..KEYS).all(|key| {
                    let told = model.owned_value(&writer.me, &Key::new(format!("r/{key}")));
                    told.is_some_and(|it| it.as_ref() == last(key))
                })
            })
            .await?;
            for key in 0..KEYS {
                in_order(who, &writer.me, &format!("r/{key}"))?;
                no_repetition(who, writer, &format!("r/{key}"))?;
            }
        }
    }
    let downs = reader.told(|model| model.downs.clone());
    ensure!(downs.is_empty(), "{downs:?}");
    Ok(())
}

fn no_repetition(reader: &Member, owner: &Member, key: &str) -> Outcome {
    let key = (owner.me.boot, Key::new(key));
    let (told, snapshots) = reader
        .told(|model| (model.history.get(&key).cloned().unwrap_or_default(), model.snapshots));
    let twice = told.windows(2).filter(|pair| matches!(pair, [a, b] if a == b)).count();
    // A snapshot may say again what was said.
    ensure!(twice < snapshots, "{} was told {key:?} {twice} times too often", reader.me.name);
    Ok(())
}

pub(crate) async fn gap_makes_a_new_snapshot_and_no_false_leave(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    one.publish("kept", Some(b"kept")).await?;
    one.publish("removed", Some(b"there")).await?;
    two.sees_owned(&one.me, "removed", Some(b"there")).await?;
    let resets = two.told(|model| model.resets.len());
    world.cluster.lose_feed(&two.me.name).await?;
    let record = world.record(&three, b"in the gap");
    one.publish("removed", None).await?;
    three.writes("spec/a", &record).await?;

    two.sees("a new snapshot", |model| model.resets.len() > resets && model.is_synced()).await?;
    let rolled_back = two.told(|model| model.resets.iter().any(|it| *it));
    ensure!(!rolled_back, "the store is said to be rolled back");
    two.sees_record("spec/a", &record).await?;
    two.sees_owned(&one.me, "kept", Some(b"kept")).await?;
    two.sees_owned(&one.me, "removed", None).await?;
    let (downs, up) = two.told(|model| (model.downs.clone(), model.members.len()));
    ensure!(downs.is_empty() && up == 3, "{up} members are up, {downs:?}");
    // And it goes on.
    one.publish("after", Some(b"after")).await?;
    two.sees_owned(&one.me, "after", Some(b"after")).await
}

pub(crate) async fn slow_reader_stays_a_member(world: &World) -> Outcome {
    let one = world.join("one").await?;
    let slow = world.session(world.joining("slow", new_boot())?).await??;
    slow.presence.set_status(MemberStatus::Active).await?;
    let me = slow.me.clone();
    one.sees("the slow one", |model| model.is_up(&me)).await?;
    let began = tokio::time::Instant::now();
    let mut round = 0_u32;
    // Long enough for its silence to be noticed, and more than fits into any buffer of events.
    while began.elapsed() < world.detection() * 3 || round < 2_000 {
        one.publish("r", Some(&round.to_be_bytes())).await?;
        round += 1;
        if round.is_multiple_of(100) {
            world.all_the_while(world.detection() / 20, "nobody is reported", || true).await?;
        }
    }
    let downs = one.told(|model| model.downs_of(&me));
    ensure!(downs.is_empty(), "the slow reader is told to be {downs:?}");
    // What it asks for is answered, whatever waits to be read.
    slow.presence.publish(vec![]).await?;
    let reader = Member::new(world, slow);
    reader.publish("alive", Some(b"alive")).await?;
    one.sees_owned(&me, "alive", Some(b"alive")).await?;
    reader.sees_owned(&one.me, "r", Some(&(round - 1).to_be_bytes())).await?;
    in_order(&reader, &one.me, "r")
}
