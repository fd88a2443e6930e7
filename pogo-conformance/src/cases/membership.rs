//! Who is there: joins, names, statuses, and the ways to go.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use pogo_core::{
    id::{ClusterName, MemberName, Scope},
    membership::{
        DownReason, MemberMetadata, MemberStatus, MembershipError, NameChoice, SharedRecords,
    },
    record::Key,
};
use tokio::time::Instant;

use crate::{
    failure::{Failure, Outcome, ensure},
    model::Model,
    truth::Fate,
    world::{World, member_name, new_boot},
};

pub(crate) async fn joined_member_sees_itself(world: &World) -> Outcome {
    let member = world.enter(world.joining("one", new_boot())?).await?;
    ensure!(member.me.name.as_str() == "one", "it asked for \"one\" and is {:?}", member.me);
    let me = member.me.clone();
    member.sees("itself", |model| model.is_up(&me)).await
}

pub(crate) async fn two_members_see_each_other(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    ensure!(one.me != two.me, "both are {:?}", one.me);
    Ok(())
}

pub(crate) async fn metadata_reaches_the_others_unchanged(world: &World) -> Outcome {
    let one = world.join("one").await?;
    let mut join = world.joining("two", new_boot())?;
    join.metadata = MemberMetadata {
        weight: 700,
        labels: [
            ("zone".to_owned(), "Zürich/1 \u{1f30d}".to_owned()),
            (String::new(), String::new()),
        ]
        .into(),
        kinds: ["monitor", "a b"]
            .into_iter()
            .map(pogo_core::id::Kind::new)
            .collect::<Result<BTreeSet<_>, _>>()?,
        version: "1.2.3-rc.1+x".to_owned(),
    };
    let wanted = join.metadata.clone();
    let two = world.enter(join).await?;
    let three = world.join("three").await?;
    for reader in [&one, &two, &three] {
        reader
            .sees("two's metadata as it joined", |model| {
                model.members.get(&two.me.boot).is_some_and(|info| *info.metadata == wanted)
            })
            .await?;
    }
    Ok(())
}

pub(crate) async fn status_goes_from_joining_to_active_to_draining(world: &World) -> Outcome {
    let one = world.join("one").await?;
    let two = world.enter(world.joining("two", new_boot())?).await?;
    let all = [MemberStatus::Joining, MemberStatus::Active, MemberStatus::Draining];
    for so_far in 1..=all.len() {
        let wanted = all.get(..so_far).unwrap_or_default();
        if let [.., last @ (MemberStatus::Active | MemberStatus::Draining)] = wanted {
            two.set_status(*last).await?;
        }
        one.sees(&format!("two's statuses as {wanted:?}"), |model| {
            model.statuses.get(&two.me.boot).is_some_and(|told| told == wanted)
        })
        .await?;
    }
    Ok(())
}

pub(crate) async fn leave_is_told_as_left_and_once(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    let gone = three.me.clone();
    three.leave().await?;
    for reader in [&one, &two] {
        reader.sees_down(&gone, DownReason::Left).await?;
    }
    // The process ends, too; that is no second end of the member.
    three.crash().await;
    world
        .all_the_while(world.detection() + world.slack, "one end is told", || {
            [&one, &two].into_iter().all(|it| it.told(|m| m.downs_of(&gone) == [DownReason::Left]))
        })
        .await
}

pub(crate) async fn crash_is_told_as_failed_within_the_promised_time(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    // Nothing of the process gets out any more, not even that its connections are closed.
    world.cut_off(&three).await?;
    let began = Instant::now();
    let gone = three.crash().await;
    for reader in [&one, &two] {
        let left = (world.detection() + world.slack).saturating_sub(began.elapsed());
        reader
            .sees_within(left, "the death of three", |model| {
                model.downs_of(&gone) == [DownReason::Failed]
            })
            .await?;
    }
    Ok(())
}

pub(crate) async fn live_member_is_never_reported_failed(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    let members = [&one, &two, &three];
    let began = Instant::now();
    let window = world.detection() * 3;
    let mut round = 0_u32;
    while began.elapsed() < window {
        for member in members {
            let value = round.to_be_bytes();
            member.publish("report", Some(&value)).await?;
            member.writes("record", &world.record(member, &value)).await?;
        }
        round += 1;
        world.all_the_while(window / 20, "nobody is reported", || true).await?;
    }
    for member in members {
        let downs = member.told(|model| model.downs.clone());
        ensure!(downs.is_empty(), "{} was told {downs:?}", member.me.name);
    }
    Ok(())
}

pub(crate) async fn rejoin_has_a_higher_incarnation(world: &World) -> Outcome {
    let one = world.join("one").await?;
    let mut last = None;
    let boot = new_boot();
    // The same process twice, then another one.
    for boot in [boot, boot, new_boot()] {
        let two = world.join_with(world.joining("two", boot)?).await?;
        one.sees_up(&two).await?;
        let now = two.me.incarnation;
        ensure!(last.is_none_or(|last| last < now), "{now} comes after {last:?}");
        last = Some(now);
        two.leave().await?;
        one.sees_down(&two.me, DownReason::Left).await?;
    }
    Ok(())
}

pub(crate) async fn name_of_a_live_member_is_taken(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let second = world.session(world.joining("two", new_boot())?).await?;
    match second {
        Err(MembershipError::NameTaken { name }) if name == two.me.name => {}
        other => return Err(Failure::new(format!("a second \"two\" gets {other:?}"))),
    }
    let mut join = world.joining("two", new_boot())?;
    join.name = NameChoice::Suffixed(member_name("two")?);
    let third = world.join_with(join).await?;
    ensure!(third.me.name.as_str() == "two-2", "the suffixed name is {:?}", third.me.name);
    one.sees_up(&third).await?;
    for member in [&one, &third] {
        let (up, downs) = member.told(|model| (model.is_up(&two.me), model.downs_of(&two.me)));
        ensure!(up && downs.is_empty(), "the refused one harmed two: up {up}, {downs:?}");
    }
    two.writes("record", &world.record(&two, b"still works")).await
}

pub(crate) async fn restart_under_the_same_name_replaces_the_former(world: &World) -> Outcome {
    let [one, former] = world.members(["one", "two"]).await?;
    // The same process joins again before it has noticed that it was given up: its former stay ends.
    world.truth.set_fate(&former.me, Fate::Replaced);
    let second = world.join_with(world.joining("two", former.me.boot)?).await?;
    ensure!(
        second.me.incarnation > former.me.incarnation,
        "{:?} comes after {:?}",
        second.me,
        former.me
    );
    one.sees_up(&second).await?;
    former.sees("its end", |model| model.evicted || model.ended).await?;
    ensure!(
        former.put("record", &world.record(&former, b"late")).await.is_err(),
        "it still writes"
    );
    former.crash().await;

    // Another process of that name: the former one is gone.
    let gone = second.crash().await;
    let third = world
        .eventually("a restarted member has its name again", async || {
            match world.session(world.joining("two", new_boot())?).await? {
                Ok(session) => Ok(Some(crate::member::Member::new(world, session))),
                Err(MembershipError::NameTaken { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
    third.set_status(MemberStatus::Active).await?;
    one.sees_up(&third).await?;
    one.sees("one end of the former", |model| model.downs_of(&gone).len() == 1).await?;
    let reasons = one.told(|model| model.downs_of(&gone));
    ensure!(!reasons.contains(&DownReason::Left), "it did not leave: {reasons:?}");
    Ok(())
}

pub(crate) async fn member_that_was_given_up_learns_of_it(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    world.cut_off(&three).await?;
    for reader in [&one, &two] {
        reader.sees_down(&three.me, DownReason::Failed).await?;
    }
    world.reconnect(&three).await?;
    // Where there is a store it was evicted; without, the others take it back as it is.
    let is_back = || {
        let members = [&one, &two];
        members.into_iter().all(|member| member.told(|model| model.is_up(&three.me)))
    };
    let is_over = || three.told(|model| model.evicted);
    world
        .eventually("the member that was given up is evicted, or back", async || {
            Ok((is_back() || is_over()).then_some(()))
        })
        .await?;
    if is_over() {
        let refused = three.put("record", &world.record(&three, b"late")).await;
        ensure!(refused.is_err(), "an evicted member writes: {refused:?}");
        let boot = three.me.boot;
        let former = three.me.clone();
        three.crash().await;
        let back = world.join_with(world.joining("three", boot)?).await?;
        ensure!(back.me.incarnation > former.incarnation, "{:?} after {former:?}", back.me);
        one.sees_up(&back).await?;
        two.sees_up(&back).await?;
        back.writes("record", &world.record(&back, b"works")).await?;
    } else {
        three.writes("record", &world.record(&three, b"works")).await?;
    }
    Ok(())
}

pub(crate) async fn many_members_that_join_at_once_see_each_other(world: &World) -> Outcome {
    let names: Vec<String> = (0..world.crowd).map(|nth| format!("member-{nth}")).collect();
    let members = try_join_all(names.iter().map(|name| world.join(name))).await?;
    for member in &members {
        let everybody = |model: &Model| {
            let up = members.iter().filter(|other| model.is_up(&other.me));
            up.count() == members.len() && model.members.len() == members.len()
        };
        member.sees("all that have joined, each once", everybody).await?;
    }
    let names: BTreeSet<&MemberName> = members.iter().map(|member| &member.me.name).collect();
    ensure!(names.len() == members.len(), "names were given twice: {names:?}");
    Ok(())
}

pub(crate) async fn dropped_session_is_a_crash(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    // One part keeps a session alive.
    let records = std::sync::Arc::clone(&two.records);
    let gone = two.me.clone();
    two.publish("report", Some(b"runs")).await?;
    drop_all_but(records, &one, two, world).await?;
    one.sees_within(world.detection() + world.slack, "the death of two", |model| {
        model.downs_of(&gone) == [DownReason::Failed]
    })
    .await
}

async fn drop_all_but(
    records: std::sync::Arc<dyn SharedRecords>,
    one: &crate::member::Member,
    two: crate::member::Member,
    world: &World,
) -> Outcome {
    let gone = two.me.clone();
    two.crash().await;
    world.truth.set_fate(&gone, Fate::Unharmed);
    let still = world.detection() + world.slack;
    world.all_the_while(still, "two is up", || one.told(|model| model.is_up(&gone))).await?;
    let read = records.get(&[Key::new("nothing")]).await;
    ensure!(read.is_ok(), "the part that is left does not work: {read:?}");
    world.truth.set_fate(&gone, Fate::Harmed);
    Ok(())
}

pub(crate) async fn clusters_and_scopes_on_one_server_stay_apart(world: &World) -> Outcome {
    let ours = world.join("one").await?;
    let mut elsewhere = world.joining("one", new_boot())?;
    elsewhere.cluster = ClusterName::new(format!("{}-b", world.name))?;
    let mut in_other_scope = world.joining("other", new_boot())?;
    in_other_scope.scope = Scope::new("other")?;

    let mut strangers = Vec::new();
    for join in [elsewhere, in_other_scope] {
        let stranger = world.join_with(join).await?;
        stranger.writes("spec/a", &world.record(&stranger, b"theirs")).await?;
        stranger.publish("report", Some(b"theirs")).await?;
        strangers.push(stranger);
    }
    let record = world.record(&ours, b"ours");
    ours.writes("spec/b", &record).await?;
    let two = world.join("two").await?;
    two.sees_record("spec/b", &record).await?;
    two.sees_up(&ours).await?;
    ours.sees_up(&two).await?;

    for (who, expected) in [(&ours, 2), (&two, 2)] {
        let members: BTreeMap<_, _> =
            who.told(|m| m.members.values().map(|it| (it.id.clone(), it.status)).collect());
        ensure!(members.len() == expected, "{} sees strangers: {members:?}", who.me.name);
        let read = who.read("spec/a").await?;
        ensure!(read.is_none(), "{} reads a stranger's record: {read:?}", who.me.name);
    }
    for stranger in &strangers {
        ensure!(stranger.read("spec/b").await?.is_none(), "a stranger reads our record");
        let seen = stranger.told(|model| model.members.len());
        ensure!(seen <= 1, "a stranger sees {seen} members");
    }
    Ok(())
}
