//! Records that outlive their writer, and their order (R2).

use bytes::Bytes;
use futures_util::future::try_join_all;
use pogo_core::{
    id::BootId,
    membership::{Expect, MemberStatus, MembershipError, OwnedUpdate, Put, PutOutcome},
    record::{Key, Record, Stage},
};

use crate::{
    failure::{Failure, Outcome, ensure},
    member::Member,
    world::{World, new_boot, record_at},
};

/// Waits until everybody was told and everybody reads the same record.
async fn agree(world: &World, members: &[&Member], key: &str, record: &Record) -> Outcome {
    for member in members {
        world
            .eventually(&format!("{} reads {key:?} as {record:?}", member.me.name), async || {
                Ok((member.read(key).await?.as_ref() == Some(record)).then_some(()))
            })
            .await?;
    }
    Ok(())
}

pub(crate) async fn record_that_was_put_is_read_by_others(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    ensure!(two.read("spec/a").await?.is_none(), "what was never put is there");
    let record = world.record(&one, b"value");
    one.writes("spec/a", &record).await?;
    // Acknowledged is readable at once, by everybody.
    for member in [&one, &two] {
        let read = member.read("spec/a").await?;
        ensure!(read.as_ref() == Some(&record), "{} reads {read:?}", member.me.name);
    }
    two.sees_record("spec/a", &record).await
}

pub(crate) async fn newer_record_wins_in_any_order(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    let older = world.record(&two, b"older");
    let newer = world.record(&one, b"newer");
    one.writes("spec/a", &newer).await?;
    two.sees_record("spec/a", &newer).await?;
    let outcome = two.put("spec/a", &older).await?;
    ensure!(
        outcome == PutOutcome::Stale { current: Some(newer.clone()) },
        "an older record over a newer one gets {outcome:?}"
    );
    agree(world, &[&one, &two, &three], "spec/a", &newer).await?;

    // At the same time, from both sides, again and again.
    for round in 0..10 {
        let key = format!("spec/{round}");
        let (first, second) = (world.record(&one, b"first"), world.record(&two, b"second"));
        let (_, put) = tokio::try_join!(one.put(&key, &first), two.put(&key, &second))?;
        ensure!(put == PutOutcome::Applied, "the newest record gets {put:?}");
        agree(world, &[&one, &two, &three], &key, &second).await?;
        three.sees_record(&key, &second).await?;
    }
    Ok(())
}

pub(crate) async fn writer_breaks_a_tie_of_time(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    let author = |bits: u128| BootId::from_random(bits << 100);
    for (key, first, second) in [("spec/a", 2, 1), ("spec/b", 1, 2)] {
        let hlc = world.next_hlc();
        let low = record_at(hlc, author(first.min(second)), Some(b"low"));
        let high = record_at(hlc, author(first.max(second)), Some(b"high"));
        let (by_one, by_two) = if first > second { (&high, &low) } else { (&low, &high) };
        tokio::try_join!(one.put(key, by_one), two.put(key, by_two))?;
        agree(world, &[&one, &two, &three], key, &high).await?;
        three.sees_record(key, &high).await?;
    }
    // A later stage of one write comes after an earlier one.
    let live = world.record(&one, b"job");
    let mut done = live.clone();
    done.stamp.stage = Stage::Done;
    one.writes("spec/c", &live).await?;
    two.writes("spec/c", &done).await?;
    one.sees_record("spec/c", &done).await?;
    let outcome = one.put("spec/c", &live).await?;
    ensure!(matches!(outcome, PutOutcome::Stale { .. }), "a live stage over done gets {outcome:?}");
    Ok(())
}

pub(crate) async fn tombstone_beats_an_older_record(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let older = world.record(&two, b"older");
    let first = world.record(&one, b"first");
    one.writes("spec/a", &first).await?;
    let tombstone = world.tombstone(&two);
    two.writes("spec/a", &tombstone).await?;
    one.sees_record("spec/a", &tombstone).await?;
    for (member, record) in [(&one, &first), (&two, &older)] {
        let outcome = member.put("spec/a", record).await?;
        ensure!(
            outcome == PutOutcome::Stale { current: Some(tombstone.clone()) },
            "an older record over a tombstone gets {outcome:?}"
        );
    }
    // A tombstone of what nobody knows stays, too.
    let early = world.record(&one, b"early");
    let unknown = world.tombstone(&two);
    two.writes("spec/b", &unknown).await?;
    one.sees_record("spec/b", &unknown).await?;
    ensure!(
        matches!(one.put("spec/b", &early).await?, PutOutcome::Stale { .. }),
        "an older record is written over the tombstone of an unknown one"
    );
    let three = world.join("three").await?;
    three.sees_record("spec/a", &tombstone).await?;
    agree(world, &[&one, &two, &three], "spec/a", &tombstone).await
}

pub(crate) async fn newer_record_beats_a_tombstone(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    one.writes("spec/a", &world.record(&one, b"first")).await?;
    two.writes("spec/a", &world.tombstone(&two)).await?;
    let again = world.record(&one, b"again");
    one.writes("spec/a", &again).await?;
    two.sees_record("spec/a", &again).await?;
    agree(world, &[&one, &two], "spec/a", &again).await
}

pub(crate) async fn record_survives_its_writer(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let (kept, left) = (world.record(&one, b"of a crashed"), world.record(&two, b"of a left"));
    one.writes("spec/a", &kept).await?;
    one.crash().await;
    agree(world, &[&two], "spec/a", &kept).await?;
    let three = world.join("three").await?;
    three.sees_up(&two).await?;
    two.writes("spec/b", &left).await?;
    two.leave().await?;
    for (key, record) in [("spec/a", &kept), ("spec/b", &left)] {
        agree(world, &[&three], key, record).await?;
        three.sees_record(key, record).await?;
    }
    Ok(())
}

pub(crate) async fn record_survives_all_members(world: &World) -> Outcome {
    let (record, tombstone) = write_two(world).await?;
    found_again(world, &record, &tombstone).await
}

pub(crate) async fn record_survives_a_restart_of_everything(world: &World) -> Outcome {
    let (record, tombstone) = write_two(world).await?;
    world.cluster.restart().await?;
    found_again(world, &record, &tombstone).await
}

/// Two members write, and are gone.
async fn write_two(world: &World) -> Outcome<(Record, Record)> {
    let [one, two] = world.members(["one", "two"]).await?;
    let record = world.record(&one, b"kept");
    one.writes("spec/a", &record).await?;
    two.writes("spec/b", &world.record(&two, b"not kept")).await?;
    let tombstone = world.tombstone(&one);
    one.writes("spec/b", &tombstone).await?;
    one.leave().await?;
    one.crash().await;
    two.crash().await;
    Ok((record, tombstone))
}

async fn found_again(world: &World, record: &Record, tombstone: &Record) -> Outcome {
    let three = world.join("three").await?;
    for (key, record) in [("spec/a", record), ("spec/b", tombstone)] {
        let (told, read) =
            (three.told(|model| model.shared.get(&Key::new(key)).cloned()), three.read(key).await?);
        ensure!(told.as_ref() == Some(record), "{key:?} is in the snapshot as {told:?}");
        ensure!(read.as_ref() == Some(record), "{key:?} is read as {read:?}");
    }
    Ok(())
}

pub(crate) async fn compare_and_set_has_one_winner(world: &World) -> Outcome {
    let members = world.members(["one", "two", "three", "four"]).await?;
    let mut stands: Option<Record> = None;
    for round in 0..5 {
        let expect = stands.as_ref().map_or(Expect::Absent, |it| Expect::Exactly(it.stamp));
        let racers: Vec<(&Member, Record)> = (0..12)
            .zip(members.iter().cycle())
            .map(|(nth, member)| (member, world.record(member, &[round, nth])))
            .collect();
        let puts = racers.iter().map(|(member, it)| member.put_expecting("spec/a", it, expect));
        let outcomes = try_join_all(puts).await?;
        let won: Vec<&Record> = racers
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == PutOutcome::Applied)
            .map(|((_, record), _)| record)
            .collect();
        let [winner] = won.as_slice() else {
            return Err(Failure::new(format!("{} of 12 won round {round}", won.len())));
        };
        let is_refusal = |outcome: &&PutOutcome| {
            **outcome == PutOutcome::Applied
                || **outcome == PutOutcome::Stale { current: Some((*winner).clone()) }
        };
        let odd: Vec<_> = outcomes.iter().filter(|outcome| !is_refusal(outcome)).collect();
        ensure!(odd.is_empty(), "losers of round {round} were told {odd:?}");
        stands = Some((*winner).clone());
    }
    // What is not there is not exactly anything, and what is there is not absent.
    let [one, two, ..] = &members;
    let stamp = world.record(one, b"never put").stamp;
    for (key, expect, current) in
        [("spec/b", Expect::Exactly(stamp), None), ("spec/a", Expect::Absent, stands)]
    {
        let outcome = two.put_expecting(key, &world.record(two, b"new"), expect).await?;
        ensure!(outcome == PutOutcome::Stale { current }, "{expect:?} at {key:?}: {outcome:?}");
    }
    Ok(())
}

pub(crate) async fn batch_has_one_outcome_for_each_record(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let older = world.record(&two, b"older");
    let there = world.record(&one, b"there");
    one.writes("spec/b", &there).await?;
    two.sees_record("spec/b", &there).await?;
    let put = |key: &str, record: &Record| Put {
        key: Key::new(key),
        record: record.clone(),
        expect: Expect::Newer,
    };
    let (new, gone) = (world.record(&two, b"new"), world.tombstone(&two));
    let stale = PutOutcome::Stale { current: Some(there.clone()) };
    let batch = [
        (put("spec/a", &new), PutOutcome::Applied),
        (put("spec/b", &older), stale),
        (put("spec/c", &gone), PutOutcome::Applied),
        (put("spec/b", &there), PutOutcome::Applied),
    ];
    let (puts, expected): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcomes = two.put_all(puts).await??;
    ensure!(outcomes == expected, "the outcomes are {outcomes:?}, not {expected:?}");
    one.sees_record("spec/a", &new).await?;
    one.sees_record("spec/c", &gone).await?;
    ensure!(two.put_all(Vec::new()).await??.is_empty(), "an empty batch has outcomes");

    let many: Vec<Put> =
        (0..1_000).map(|nth| put(&format!("many/{nth}"), &world.record(&two, b"m"))).collect();
    let outcomes = two.put_all(many.clone()).await??;
    let applied = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Applied).count();
    ensure!((outcomes.len(), applied) == (1_000, 1_000), "{applied} of 1000 are applied");
    one.sees("all of a large batch", |model| {
        many.iter().all(|put| model.shared.get(&put.key) == Some(&put.record))
    })
    .await
}

pub(crate) async fn record_above_the_limit_is_too_large(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let max = world.promises.max_value_bytes;
    let (fits, exceeds) = (vec![0x5a; max], vec![0x5a; max + 1]);
    let fitting = world.record(&one, &fits);
    one.writes("spec/fits", &fitting).await?;
    two.sees_record("spec/fits", &fitting).await?;
    one.publish("fits", Some(&fits)).await?;
    two.sees_owned(&one.me, "fits", Some(&fits)).await?;

    let puts =
        [("spec/small", b"small".as_slice()), ("spec/large", &exceeds)].map(|(key, value)| Put {
            key: Key::new(key),
            record: world.record(&one, value),
            expect: Expect::Newer,
        });
    let refused = one.put_all(puts.into()).await?;
    ensure!(is_too_large(&refused, max), "a put of {} bytes gets {refused:?}", max + 1);
    let updates = [("small", b"small".as_slice()), ("large", &exceeds)].map(|(key, value)| {
        OwnedUpdate { key: Key::new(key), value: Some(Bytes::copy_from_slice(value)) }
    });
    let refused = one.publish_all(updates.into()).await?;
    ensure!(is_too_large(&refused, max), "a publish of {} bytes gets {refused:?}", max + 1);

    // Nothing was changed, and the session works on.
    ensure!(two.read("spec/small").await?.is_none(), "a part of the refused batch was put");
    one.publish("after", Some(b"after")).await?;
    two.sees_owned(&one.me, "after", Some(b"after")).await?;
    let small = two.told(|model| model.owned_value(&one.me, &Key::new("small")).cloned());
    ensure!(small.is_none(), "a part of the refused batch was published");
    Ok(())
}

fn is_too_large<T>(answer: &Result<T, MembershipError>, max: usize) -> bool {
    matches!(answer, Err(MembershipError::TooLarge { len, max: told }) if *len > max && *told == max)
}

pub(crate) async fn any_key_and_any_value_come_back_unchanged(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let every_byte: Vec<u8> = (0..=255).collect();
    // Above the longest that the supervisor makes of an id.
    let long = "k".repeat(512);
    let keys =
        ["", " ", "a b", "../up", "/", "*", "ключ/\u{1f511}", "line\nend\r\0", "{tag}%2F:", &long];
    let values = [b"".as_slice(), b"\0", &every_byte];
    for (nth, key) in keys.iter().enumerate() {
        let value = values.get(nth % values.len()).copied().unwrap_or_default();
        let record = world.record(&one, value);
        one.writes(key, &record).await?;
        one.publish(key, Some(value)).await?;
        let read = two.read(key).await?;
        ensure!(read.as_ref() == Some(&record), "{key:?} is read as {read:?}, not {record:?}");
        two.sees_record(key, &record).await?;
        two.sees_owned(&one.me, key, Some(value)).await?;
    }
    // An empty value is not a tombstone.
    let three = world.join("three").await?;
    three.sees("all of them", |model| model.shared.len() == keys.len()).await?;
    let gone = three.told(|model| model.shared.values().filter(|it| it.value.is_none()).count());
    ensure!(gone == 0, "{gone} empty values have become tombstones");
    Ok(())
}

pub(crate) async fn repeating_a_request_changes_nothing(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let record = world.record(&one, b"value");
    // As after an answer that was lost. The reader's laws hold that no write is told twice.
    for _ in 0..3 {
        one.writes("spec/a", &record).await?;
        one.publish("report", Some(b"runs")).await?;
        one.set_status(MemberStatus::Active).await?;
    }
    for expect in [Expect::Absent, Expect::Exactly(world.record(&one, b"other").stamp)] {
        let outcome = one.put_expecting("spec/a", &record, expect).await?;
        ensure!(
            outcome == PutOutcome::Applied,
            "the record that stands already, expecting {expect:?}: {outcome:?}"
        );
    }
    let last = world.record(&one, b"last");
    one.writes("spec/z", &last).await?;
    two.sees_record("spec/z", &last).await?;
    two.sees_record("spec/a", &record).await?;
    two.sees_owned(&one.me, "report", Some(b"runs")).await?;
    repeated_join_is_one_member(world, &two).await
}

/// The answer to a join was lost: the same process asks again, and is there once.
async fn repeated_join_is_one_member(world: &World, two: &Member) -> Outcome {
    let boot = new_boot();
    let three = world.join_with(world.joining("three", boot)?).await?;
    world.truth.set_fate(&three.me, crate::truth::Fate::Replaced);
    let again = world.join_with(world.joining("three", boot)?).await?;
    two.sees_up(&again).await?;
    two.sees("three members", |model| model.members.len() == 3).await
}
