//! Records that go with their owner.

use std::collections::BTreeMap;

use bytes::Bytes;
use pogo_core::{
    id::MemberId,
    membership::{DownReason, OwnedUpdate},
    record::Key,
};

use crate::{
    failure::{Outcome, ensure},
    harness::Means,
    member::Member,
    truth::Fate,
    world::{World, new_boot},
};

fn update(key: impl AsRef<str>, value: &[u8]) -> OwnedUpdate {
    OwnedUpdate { key: Key::new(key.as_ref()), value: Some(Bytes::copy_from_slice(value)) }
}

async fn sees_many(reader: &Member, owner: &MemberId, count: u32) -> Outcome {
    reader
        .sees(&format!("{count} records of {}", owner.name), |model| {
            model.owned.get(&owner.boot).is_some_and(|records| {
                records.len() == count as usize
                    && records.iter().all(|(key, value)| {
                        key.as_str().strip_prefix("r/").is_some_and(|it| it.as_bytes() == value)
                    })
            })
        })
        .await
}

pub(crate) async fn ten_thousand_records_are_seen_by_all(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let numbers: Vec<u32> = (0..10_000).collect();
    for part in numbers.chunks(500) {
        let batch = part.iter().map(|n| update(format!("r/{n}"), n.to_string().as_bytes()));
        one.publish_all(batch.collect()).await??;
    }
    sees_many(&two, &one.me, 10_000).await?;
    let three = world.join("three").await?;
    sees_many(&three, &one.me, 10_000).await
}

pub(crate) async fn change_sets_and_removes_and_leaves_the_rest(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    one.publish_all(vec![update("a", b"1"), update("b", b"1"), update("c", b"1")]).await??;
    two.sees_owned(&one.me, "c", Some(b"1")).await?;
    let gone = |key: &str| OwnedUpdate { key: Key::new(key), value: None };
    one.publish_all(vec![update("a", b"2"), gone("b"), gone("never"), update("d", b"1")]).await??;
    two.sees_owned(&one.me, "d", Some(b"1")).await?;
    let three = world.join("three").await?;
    for reader in [&two, &three] {
        for (key, value) in
            [("a", Some(b"2")), ("b", None), ("c", Some(b"1")), ("d", Some(b"1")), ("never", None)]
        {
            reader.sees_owned(&one.me, key, value.map(<[u8; 1]>::as_slice)).await?;
        }
    }
    // Within a batch the last word counts.
    one.publish_all(vec![update("a", b"3"), gone("a"), gone("c"), update("c", b"4")]).await??;
    two.sees_owned(&one.me, "c", Some(b"4")).await?;
    two.sees_owned(&one.me, "a", None).await
}

pub(crate) async fn last_of_many_publications_stands(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let last = 300_u32;
    for nth in 0..=last {
        one.publish("r", Some(&nth.to_be_bytes())).await?;
    }
    two.sees_owned(&one.me, "r", Some(&last.to_be_bytes())).await?;
    in_order(&two, &one.me, "r")?;
    let three = world.join("three").await?;
    three.sees_owned(&one.me, "r", Some(&last.to_be_bytes())).await
}

/// A reader may be told of some values only, but never of an earlier one after a later one.
pub(crate) fn in_order(reader: &Member, owner: &MemberId, key: &str) -> Outcome {
    let key = (owner.boot, Key::new(key));
    let told = reader.told(|model| model.history.get(&key).cloned().unwrap_or_default());
    let back = told.windows(2).find(|pair| matches!(pair, [a, b] if a > b));
    ensure!(back.is_none(), "{} was told {key:?} in the order {back:?}", reader.me.name);
    Ok(())
}

pub(crate) async fn records_vanish_with_their_owner(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    for owner in [&two, &three] {
        owner.publish("r", Some(b"runs")).await?;
        one.sees_owned(&owner.me, "r", Some(b"runs")).await?;
    }
    let (left, crashed) = (two.me.clone(), three.me.clone());
    two.leave().await?;
    one.sees_down(&left, DownReason::Left).await?;
    three.crash().await;
    one.sees_down(&crashed, DownReason::Failed).await?;

    let four = world.join("four").await?;
    for gone in [&left, &crashed] {
        for reader in [&one, &four] {
            ensure!(!reader.told(|model| model.is_up(gone)), "{gone:?} is up");
            let read = reader.read_owned(gone, &[Key::new("r")]).await?;
            let is_gone = read.as_ref().map_or(true, |values| values == &[None]);
            ensure!(is_gone, "{} reads of {gone:?}: {read:?}", reader.me.name);
        }
    }
    Ok(())
}

pub(crate) async fn write_of_an_old_incarnation_never_appears(world: &World) -> Outcome {
    let [one, former] = world.members(["one", "two"]).await?;
    former.publish("old", Some(b"old")).await?;
    world.truth.set_fate(&former.me, Fate::Replaced);
    let second = world.join_with(world.joining("two", former.me.boot)?).await?;
    second.publish("new", Some(b"new")).await?;
    one.sees_owned(&second.me, "new", Some(b"new")).await?;
    // Its former stay is over, and does not know it perhaps.
    let late = former.publish("late", Some(b"late")).await;
    ensure!(late.is_err(), "a stay that is over publishes");
    former.crash().await;

    second.publish("last", Some(b"last")).await?;
    let three = world.join("three").await?;
    for reader in [&one, &three] {
        for (key, value) in [("last", Some(b"last".as_slice())), ("old", None), ("late", None)] {
            reader.sees_owned(&second.me, key, value).await?;
        }
    }
    second.crash().await;
    nothing_is_left_of_a_process_that_is_gone(world, &one).await
}

async fn nothing_is_left_of_a_process_that_is_gone(world: &World, one: &Member) -> Outcome {
    let third = world
        .eventually("the name is free again", async || {
            Ok(world.session(world.joining("two", new_boot())?).await?.ok())
        })
        .await?;
    let third = Member::new(world, third);
    third.publish("third", Some(b"third")).await?;
    one.sees_owned(&third.me, "third", Some(b"third")).await?;
    let keys = ["old", "new", "last", "third"].map(Key::new);
    let read = one.read_owned(&third.me, &keys).await??;
    let expected = [None, None, None, Some(Bytes::from_static(b"third"))];
    ensure!(read == expected, "of the third stay, {read:?} is read");
    Ok(())
}

pub(crate) async fn late_joiner_gets_all_in_its_first_snapshot(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let mut records = Vec::new();
    for (nth, owner) in [&one, &two].into_iter().cycle().take(50).enumerate() {
        let (key, record) = (format!("spec/{nth}"), world.record(owner, key_of(nth).as_bytes()));
        owner.writes(&key, &record).await?;
        owner.publish(&key_of(nth), Some(key_of(nth).as_bytes())).await?;
        records.push((key, record));
    }
    let three = world.enter(world.joining("three", new_boot())?).await?;
    three.told(|model| {
        ensure!(model.is_up(&one.me) && model.is_up(&two.me), "{}", model.describe());
        for (key, record) in &records {
            let told = model.shared.get(&Key::new(key.as_str()));
            ensure!(told == Some(record), "the snapshot has {key:?} as {told:?}");
        }
        for (nth, owner) in [&one, &two].into_iter().cycle().take(50).enumerate() {
            let told = model.owned_value(&owner.me, &Key::new(key_of(nth)));
            let is_there = told.is_some_and(|it| it.as_ref() == key_of(nth).as_bytes());
            ensure!(is_there, "the snapshot has {} as {told:?}", key_of(nth));
        }
        Ok(())
    })
}

fn key_of(nth: usize) -> String {
    format!("r/{nth}")
}

pub(crate) async fn direct_read_equals_the_feed(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let keys = ["a", "b", "c", "never"].map(Key::new);
    for round in 0..20_u8 {
        let mut batch = vec![update("a", &[round]), update("b", &[round; 100])];
        let value = round.is_multiple_of(2).then(|| Bytes::from_static(b"even"));
        batch.push(OwnedUpdate { key: Key::new("c"), value });
        one.publish_all(batch).await??;
        two.sees_owned(&one.me, "a", Some(&[round])).await?;
        let told: Vec<Option<Bytes>> =
            two.told(|m| keys.iter().map(|key| m.owned_value(&one.me, key).cloned()).collect());
        let read = two.read_owned(&one.me, &keys).await??;
        ensure!(read == told, "round {round}: the feed says {told:?} and a read {read:?}");
    }
    let mine = one.read_owned(&one.me, &keys).await??;
    let theirs = two.read_owned(&one.me, &keys).await??;
    ensure!(mine == theirs, "its owner reads {mine:?} and another {theirs:?}");
    ensure!(two.read_owned(&one.me, &[]).await??.is_empty(), "no key was asked for");
    Ok(())
}

pub(crate) async fn many_small_publications_take_bounded_room(world: &World) -> Outcome {
    let one = world.join("one").await?;
    let value = [0x5a; 100];
    let publish_all = async |from: u16, to: u16| -> Outcome {
        for nth in from..to {
            let key = format!("r/{}", nth % 20);
            one.publish(&key, Some(&[nth.to_be_bytes().as_slice(), &value].concat())).await?;
        }
        Ok(())
    };
    publish_all(0, 20).await?;
    let can_measure = world.means.contains(&Means::Measure);
    let before = if can_measure { world.cluster.stored_bytes().await? } else { 0 };
    publish_all(20, 1_000).await?;
    if can_measure {
        // Compacting may be put off, not for ever.
        let bound = before * 4 + 64 * 1024;
        world
            .eventually(&format!("at most {bound} bytes are stored"), async || {
                Ok((world.cluster.stored_bytes().await? <= bound).then_some(()))
            })
            .await?;
    }
    // A newcomer reads what there is, not what there was.
    let two = world.join("two").await?;
    let (entries, owned) = two.told(|model| {
        (model.snapshot_entries, model.owned.get(&one.me.boot).map_or(0, BTreeMap::len))
    });
    ensure!(owned == 20, "{owned} of 20 records are in the snapshot");
    ensure!(entries <= 200, "a snapshot of 20 records has {entries} entries");
    Ok(())
}
