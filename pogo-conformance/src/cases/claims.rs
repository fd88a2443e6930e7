//! Exclusive rights, their tokens, and how long they last (R16, R18).

use std::time::Duration;

use futures_util::future::try_join_all;
use pogo_core::{
    id::FencingToken,
    membership::{ClaimOutcome, DownReason, Guarantee},
    record::Key,
    time::Timestamp,
};

use crate::{
    failure::{Failure, Outcome, ensure},
    member::Member,
    world::World,
};

/// Gets a claim that is free.
pub(crate) async fn holds(member: &Member, key: &str) -> Outcome<FencingToken> {
    let outcome = member.acquire(key).await?;
    token(&outcome).ok_or_else(|| {
        Failure::new(format!("{key:?} is free and {} gets {outcome:?}", member.me.name))
    })
}

const fn token(outcome: &ClaimOutcome) -> Option<FencingToken> {
    if let ClaimOutcome::Held { token } = outcome { Some(*token) } else { None }
}

/// Asks for a claim that another holds.
async fn is_refused(member: &Member, key: &str, holder: &Member, token: FencingToken) -> Outcome {
    let outcome = member.acquire(key).await?;
    let expected = ClaimOutcome::HeldBy { owner: holder.me.clone(), token };
    ensure!(outcome == expected, "{} gets {outcome:?}, not {expected:?}", member.me.name);
    Ok(())
}

/// Asks until it gets the claim.
pub(crate) async fn comes_to_hold(
    world: &World,
    member: &Member,
    key: &str,
) -> Outcome<FencingToken> {
    let what = format!("{} gets {key:?}", member.me.name);
    world
        .eventually(&what, async || match member.try_acquire(key).await? {
            // Claims may have to wait, as after a loss of data.
            Err(error) if error.is_retryable() => Ok(None),
            outcome => Ok(token(&outcome?)),
        })
        .await
}

pub(crate) async fn claim_has_one_owner_among_many_racers(world: &World) -> Outcome {
    let names: Vec<String> = (0..20).map(|nth| format!("racer-{nth}")).collect();
    let racers = try_join_all(names.iter().map(|name| world.join(name))).await?;
    for round in 0..5 {
        let key = format!("claim/{round}");
        let outcomes = try_join_all(racers.iter().map(|racer| racer.acquire(&key))).await?;
        let held: Vec<_> = racers
            .iter()
            .zip(&outcomes)
            .filter_map(|(racer, outcome)| Some((racer, token(outcome)?)))
            .collect();
        let [(winner, token)] = held.as_slice() else {
            return Err(Failure::new(format!("{} of 20 hold {key:?}", held.len())));
        };
        let told = ClaimOutcome::HeldBy { owner: winner.me.clone(), token: *token };
        let wrong =
            outcomes.iter().find(|it| **it != told && !matches!(it, ClaimOutcome::Held { .. }));
        ensure!(wrong.is_none(), "a loser was told {wrong:?}, not {told:?}");
    }
    Ok(())
}

pub(crate) async fn token_grows_with_every_grant(world: &World) -> Outcome {
    let members = world.members(["one", "two"]).await?;
    let mut last = None;
    for (round, member) in (0..20).zip(members.iter().cycle()) {
        let token = holds(member, "claim/a").await?;
        ensure!(last.is_none_or(|last| token > last), "round {round}: {token} after {last:?}");
        last = Some(token);
        member.release("claim/a").await?;
    }
    // Also past the death of a holder.
    let [one, two] = members;
    let held = holds(&one, "claim/a").await?;
    one.crash().await;
    let next = comes_to_hold(world, &two, "claim/a").await?;
    ensure!(Some(held) > last && next > held, "{last:?}, then {held}, then {next}");
    Ok(())
}

pub(crate) async fn claim_is_freed_by_release_leave_and_crash(world: &World) -> Outcome {
    let waiter = world.join("waiter").await?;
    for (nth, how) in ["release", "leave", "crash"].into_iter().enumerate() {
        let holder = world.join(how).await?;
        let key = format!("claim/{how}");
        let token = holds(&holder, &key).await?;
        is_refused(&waiter, &key, &holder, token).await?;
        let _holder = match how {
            "release" => holder.release(&key).await.map(|()| Some(holder))?,
            "leave" => holder.leave().await.map(|()| Some(holder))?,
            _ => {
                holder.crash().await;
                None
            }
        };
        // Who was refused is told, and need not ask again and again.
        waiter
            .sees(&format!("{key:?} free"), |model| {
                model.freed.len() == nth + 1 && model.freed.contains(&Key::new(key.as_str()))
            })
            .await?;
        holds(&waiter, &key).await?;
    }
    Ok(())
}

/// A holder that is cut off, until another gets its claim: the deadline that it last gave while it
/// was connected, the one that it gave at the end, and when the other got the claim.
async fn outlive(world: &World) -> Outcome<(Timestamp, Timestamp, Timestamp)> {
    let [one, two] = world.members(["one", "two"]).await?;
    let token = holds(&one, "claim/a").await?;
    is_refused(&two, "claim/a", &one, token).await?;
    let connected = deadline(&one)?;
    world.cut_off(&one).await?;
    let next = comes_to_hold(world, &two, "claim/a").await?;
    let granted = world.now();
    ensure!(next > token, "the next token is {next} after {token}");
    let cut_off = deadline(&one)?;
    two.sees("the holder's end", |model| model.downs_of(&one.me) == [DownReason::Failed]).await?;

    world.reconnect(&one).await?;
    let still = one.try_acquire("claim/a").await?;
    ensure!(!matches!(still, Ok(ClaimOutcome::Held { .. })), "the former holder gets {still:?}");
    Ok((connected, cut_off, granted))
}

fn deadline(member: &Member) -> Outcome<Timestamp> {
    member.presence.lease_deadline().ok_or_else(|| Failure::new("a session without its lease"))
}

pub(crate) async fn claim_is_not_freed_before_the_deadline_of_its_holder(world: &World) -> Outcome {
    let (connected, _, granted) = outlive(world).await?;
    ensure!(
        connected <= granted,
        "granted {:?} before the deadline that the holder was given",
        connected.since(granted)
    );
    Ok(())
}

pub(crate) async fn holder_that_is_cut_off_passes_its_deadline_first(world: &World) -> Outcome {
    let (_, cut_off, granted) = outlive(world).await?;
    ensure!(
        cut_off <= granted,
        "granted {:?} before the deadline in which the holder believes",
        cut_off.since(granted)
    );
    Ok(())
}

pub(crate) async fn refusal_names_the_holder(world: &World) -> Outcome {
    let [one, two, three] = world.members(["one", "two", "three"]).await?;
    for holder in [&one, &two] {
        let token = holds(holder, "claim/a").await?;
        is_refused(&three, "claim/a", holder, token).await?;
        // Only the holder gives a claim back.
        three.release("claim/a").await?;
        is_refused(&three, "claim/a", holder, token).await?;
        holder.release("claim/a").await?;
    }
    Ok(())
}

pub(crate) async fn holder_that_asks_again_keeps_its_token(world: &World) -> Outcome {
    let [one, two] = world.members(["one", "two"]).await?;
    let token = holds(&one, "claim/a").await?;
    for _ in 0..5 {
        let again = holds(&one, "claim/a").await?;
        ensure!(again == token, "the token was {token} and is {again}");
    }
    is_refused(&two, "claim/a", &one, token).await?;
    // Also when it asks for more than that, in one go.
    let claims = one.claims.as_ref().ok_or_else(|| Failure::new("the session has no claims"))?;
    let outcomes = claims.acquire(&["claim/b", "claim/a", "claim/c"].map(Key::new)).await?;
    ensure!(
        outcomes.len() == 3 && outcomes.get(1) == Some(&ClaimOutcome::Held { token }),
        "the outcomes are {outcomes:?}"
    );
    Ok(())
}

pub(crate) async fn backend_without_claims_says_so(world: &World) -> Outcome {
    let one = world.join("one").await?;
    ensure!(world.promises.claims == Guarantee::None, "claims are {}", world.promises.claims);
    ensure!(one.claims.is_none(), "and the session has some");
    Ok(())
}

pub(crate) async fn lease_deadline_never_goes_back_and_stands_when_cut_off(
    world: &World,
) -> Outcome {
    let [one, _two] = world.members(["one", "two"]).await?;
    let ttl = world.lease();
    let mut last = deadline(&one)?;
    let mut sample = |what: &str| -> Outcome<Timestamp> {
        let (now, next) = (world.now(), deadline(&one)?);
        ensure!(next >= last, "{what}: it goes back by {:?}", last.since(next));
        // A margin that the backend keeps for itself may make it shorter, nothing longer.
        ensure!(next <= now + ttl, "{what}: {:?} ahead with a lease of {ttl:?}", next.since(now));
        last = next;
        Ok(next)
    };
    let first = sample("at first")?;
    let mut renewed = first;
    world
        .eventually("the lease is renewed", async || {
            renewed = sample("while it is connected")?;
            Ok((renewed > first).then_some(()))
        })
        .await?;
    let before = sample("before the cut")?;
    let alive = before > world.now();
    ensure!(alive, "a connected member has a deadline in the past");

    world.cut_off(&one).await?;
    // A renewal may be on its way; it was sent before the cut.
    let cut = world.now();
    world
        .eventually("the deadline passes", async || {
            let next = sample("while it is cut off")?;
            ensure!(next <= cut + ttl, "it still advances {:?} after", next.since(cut));
            Ok((world.now() > next).then_some(()))
        })
        .await?;
    let passed = world.now().since(cut);
    ensure!(passed <= ttl + ttl / 10 + world.slack + Duration::from_secs(1), "after {passed:?}");
    Ok(())
}
