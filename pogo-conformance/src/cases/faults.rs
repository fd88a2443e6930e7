//! What the store and the network do to members, and who may notice.

use std::time::Duration;

use pogo_core::{
    membership::{Guarantee, MembershipError, PutOutcome},
    record::{Key, Record},
};

use super::claims::{comes_to_hold, holds};
use crate::{
    failure::{Failure, Outcome, ensure},
    member::Member,
    model::Model,
    truth::Fate,
    world::{World, new_boot},
};

pub(crate) async fn short_cut_kills_nobody(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    // One second, or what the detection window leaves of it.
    let cut = Duration::from_secs(1).min(world.detection() / 4);
    world.cluster.cut_off(&three.me.name).await?;
    let record = world.record(&one, b"meanwhile");
    world.all_the_while(cut, "nobody is reported", || true).await?;
    world.cluster.reconnect(&three.me.name).await?;
    one.writes("spec/a", &record).await?;
    three.sees_record("spec/a", &record).await?;
    three.publish("r", Some(b"after")).await?;
    for reader in [&one, &two] {
        reader.sees_owned(&three.me, "r", Some(b"after")).await?;
    }
    world
        .all_the_while(world.detection() + world.slack, "all are up", || {
            [&one, &two, &three].into_iter().all(|it| it.told(|model| model.downs.is_empty()))
        })
        .await
}

pub(crate) async fn outage_of_the_store_degrades_and_kills_nobody(world: &World) -> Outcome {
    let members = world.members(["one", "two", "three"]).await?;
    let [one, two, ..] = &members;
    one.publish("r", Some(b"before")).await?;
    two.sees_owned(&one.me, "r", Some(b"before")).await?;
    world.cluster.set_outage(true).await?;
    all_see(&members, "that the store is away", Model::is_degraded).await?;
    is_refused(one).await?;
    let length = world.detection().max(world.lease()) * 2;
    let length = if world.is_paused { length.max(Duration::from_secs(60)) } else { length };
    world.all_the_while(length, "nobody is reported", || true).await?;
    world.cluster.set_outage(false).await?;
    all_see(&members, "that the store is back", |model| !model.is_degraded()).await?;
    let record = world.record(one, b"value");
    one.writes("spec/a", &record).await?;
    two.sees_record("spec/a", &record).await?;
    // Everybody has the full time again to show that it lives.
    let all_are_up = |model: &Model| model.downs.is_empty() && model.members.len() == members.len();
    world
        .all_the_while(world.detection() + world.slack, "all are up", || {
            members.iter().all(|it| it.told(all_are_up))
        })
        .await
}

async fn all_see(members: &[Member], what: &str, is_so: impl Fn(&Model) -> bool) -> Outcome {
    for member in members {
        member.sees(what, &is_so).await?;
    }
    Ok(())
}

async fn is_refused(member: &Member) -> Outcome {
    match member.records.get(&[Key::new("spec/a")]).await {
        Err(error) if error.is_retryable() => Ok(()),
        other => Err(Failure::new(format!("a read during the outage gets {other:?}"))),
    }
}

/// Joins again as the same process, as the supervisor does after an eviction; else keeps its stay.
async fn back(world: &World, member: Member) -> Outcome<Member> {
    let is_told = |model: &Model| {
        model.evicted || model.ended || (model.resets.iter().any(|it| *it) && model.is_synced())
    };
    member.sees("that the store has lost data", is_told).await?;
    if member.told(|model| !model.evicted && !model.ended) {
        return Ok(member);
    }
    let (name, boot) = (member.me.name.clone(), member.me.boot);
    world.truth.set_fate(&member.me, Fate::Harmed);
    member.crash().await;
    world.join_with(world.joining(name.as_str(), boot)?).await
}

/// Puts back what the snapshot of a store that was rolled back does not have.
async fn put_back(member: &Member, key: &str, record: &Record) -> Outcome {
    let rolled_back = member.told(|model| model.resets.iter().any(|it| *it));
    ensure!(
        rolled_back,
        "{} knew {key:?} and is not told that the store was rolled back",
        member.me.name
    );
    let outcome = member.put(key, record).await?;
    ensure!(
        outcome == PutOutcome::Applied,
        "{} puts back {key:?} and gets {outcome:?}",
        member.me.name
    );
    Ok(())
}

/// Both were told what the store has lost: they put it back, and a newcomer finds it.
async fn make_good(
    world: &World,
    [one, two]: [Member; 2],
    known: &[(&str, &Record)],
) -> Outcome<Member> {
    let members: [Member; 2] = tokio::try_join!(back(world, one), back(world, two))?.into();
    for member in &members {
        for (key, record) in known {
            put_back(member, key, record).await?;
        }
    }
    // Who never knew anything is told of a store like any other.
    let three = world.join("three").await?;
    ensure!(three.told(|model| model.resets == [false]), "a new process is to put back something");
    for (key, record) in known {
        three.sees_record(key, record).await?;
    }
    for member in &members {
        three.sees_up(member).await?;
    }
    Ok(three)
}

/// From here on anything may be told of them.
fn lose_sight_of(world: &World, members: [&Member; 2]) {
    for member in members {
        world.truth.set_fate(&member.me, Fate::Harmed);
    }
}

pub(crate) async fn wiped_store_is_filled_again_from_memory(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let (record, tombstone) = (world.record(&one, b"kept"), world.tombstone(&two));
    one.writes("spec/a", &record).await?;
    two.writes("spec/b", &tombstone).await?;
    let has_claims = world.promises.claims > Guarantee::None;
    let before = if has_claims { Some(holds(&one, "claim/a").await?) } else { None };
    lose_sight_of(world, [&one, &two]);
    world.cluster.wipe().await?;
    let known = [("spec/a", &record), ("spec/b", &tombstone)];
    let three = make_good(world, [one, two], &known).await?;
    if let Some(before) = before {
        let token = comes_to_hold(world, &three, "claim/a").await?;
        ensure!(token > before, "after the wipe the token is {token}, before it was {before}");
    }
    Ok(())
}

pub(crate) async fn older_backup_is_noticed_and_made_good(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    one.writes("spec/a", &world.record(&one, b"old")).await?;
    world.cluster.back_up().await?;
    let (newer, new) = (world.record(&one, b"newer"), world.record(&two, b"new"));
    one.writes("spec/a", &newer).await?;
    two.writes("spec/b", &new).await?;
    two.sees_record("spec/a", &newer).await?;
    one.sees_record("spec/b", &new).await?;
    lose_sight_of(world, [&one, &two]);
    world.cluster.restore().await?;
    make_good(world, [one, two], &[("spec/a", &newer), ("spec/b", &new)]).await.map(drop)
}

pub(crate) async fn wrong_credentials_are_denied(world: &World) -> Outcome {
    let one = world.join("one").await?;
    let intruder = world.cluster.intruder().await?;
    let asked = intruder.join(world.joining("intruder", new_boot())?);
    let answer = tokio::time::timeout(world.patience(), asked).await;
    match answer {
        Ok(Err(MembershipError::Denied { reason, .. })) if !reason.is_empty() => {}
        other => return Err(Failure::new(format!("an intruder gets {other:?}"))),
    }
    one.writes("spec/a", &world.record(&one, b"still works")).await?;
    let up = one.told(|model| model.members.len());
    ensure!(up <= 1, "{up} members are up");
    Ok(())
}

pub(crate) async fn works_encrypted_and_plain(world: &World) -> Outcome {
    let other = world.with_cluster(world.cluster.other_wire().await?);
    for world in [world, &other] {
        let [one, two] = world.members(["one", "two"]).await?;
        let record = world.record(&one, b"value");
        one.writes("spec/a", &record).await?;
        two.sees_record("spec/a", &record).await?;
        two.publish("r", Some(b"runs")).await?;
        one.sees_owned(&two.me, "r", Some(b"runs")).await?;
        one.leave().await?;
        two.sees_down(&one.me, pogo_core::membership::DownReason::Left).await?;
    }
    Ok(())
}
