//! The suite can fail: a sound backend with one flaw is caught by the case that is about it, and
//! for the right reason.

mod feed;
mod session;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use pogo_conformance::{
    Case, Cluster, Harness, HarnessError, Means, Process, Time, Verdict, cases, run, run_case,
};
use pogo_core::{
    id::{ClusterName, MemberName, Scope},
    membership::{Capabilities, Membership},
};

use self::session::Flawed;
use crate::memory::Memory;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flaw {
    HidesItself,
    LosesMetadata,
    NeverDrains,
    CallsALeaveAFailure,
    TellsEachEndTwice,
    TellsDeathsLate,
    KillsTheLiving,
    RepeatsIncarnations,
    SharesNames,
    HidesEvictions,
    MixesScopes,
    IgnoresLeaves,
    LosesTheDeadsRecords,
    LosesTombstones,
    AppliesWhatIsStale,
    LetsAllRacersWin,
    LosesOutcomes,
    HasNoLimit,
    MangleValues,
    TellsWritesTwice,
    LosesEvents,
    NeverRemoves,
    TakesWritesOfTheEvicted,
    SnapshotsNoReports,
    SnapshotsHistory,
    ReadsNothing,
    PublishesBackwards,
    LetsAllHold,
    RepeatsTokens,
    ChangesTokens,
    HidesFreedClaims,
    NamesTheWrongHolder,
    HidesClaims,
    BelievesInLongerLeases,
    RenewsWithoutContact,
    StartsWithoutReset,
    LeavesOutOfSnapshots,
    HidesRollbacks,
    KillsAllAfterAnOutage,
    HidesOutages,
    TellsOwnRecords,
    GoesOnAfterItsEnd,
    Panics,
}

/// The case that catches each flaw, and a part of what it says.
const CAUGHT: &[(Flaw, &str, &str)] = &[
    (Flaw::HidesItself, "joined_member_sees_itself", "does not see itself"),
    (Flaw::LosesMetadata, "metadata_reaches_the_others_unchanged", "two's metadata"),
    (Flaw::NeverDrains, "status_goes_from_joining_to_active_to_draining", "Draining"),
    (Flaw::CallsALeaveAFailure, "leave_is_told_as_left_and_once", "Failed, and is Left"),
    (Flaw::TellsEachEndTwice, "leave_is_told_as_left_and_once", "down twice"),
    (Flaw::TellsDeathsLate, "crash_is_told_as_failed_within_the_promised_time", "the death of"),
    (Flaw::TellsDeathsLate, "dropped_session_is_a_crash", "the death of"),
    (Flaw::KillsTheLiving, "live_member_is_never_reported_failed", "Failed, and is Unharmed"),
    (Flaw::RepeatsIncarnations, "rejoin_has_a_higher_incarnation", "is up again"),
    (Flaw::SharesNames, "name_of_a_live_member_is_taken", "a second \"two\" gets"),
    (Flaw::HidesEvictions, "member_that_was_given_up_learns_of_it", "never"),
    (Flaw::HidesEvictions, "restart_under_the_same_name_replaces_the_former", "its end"),
    (Flaw::MixesScopes, "clusters_and_scopes_on_one_server_stay_apart", "stranger"),
    (Flaw::IgnoresLeaves, "leave_is_told_as_left_and_once", "does not see three Left"),
    (Flaw::LosesTheDeadsRecords, "record_survives_its_writer", "reads \"spec/a\""),
    (Flaw::LosesTheDeadsRecords, "record_survives_all_members", "is read as None"),
    (Flaw::LosesTombstones, "tombstone_beats_an_older_record", "value: None"),
    (Flaw::AppliesWhatIsStale, "newer_record_wins_in_any_order", "over a newer one gets Applied"),
    (Flaw::LetsAllRacersWin, "compare_and_set_has_one_winner", "12 of 12 won"),
    (Flaw::LosesOutcomes, "batch_has_one_outcome_for_each_record", "the outcomes are"),
    (Flaw::HasNoLimit, "record_above_the_limit_is_too_large", "gets Ok"),
    (Flaw::MangleValues, "any_key_and_any_value_come_back_unchanged", "is read as"),
    (Flaw::MangleValues, "record_that_was_put_is_read_by_others", "reads"),
    (Flaw::TellsWritesTwice, "repeating_a_request_changes_nothing", "told twice"),
    (Flaw::TellsWritesTwice, "nothing_is_lost_or_told_twice_under_load", "told twice"),
    (Flaw::LosesEvents, "nothing_is_lost_or_told_twice_under_load", "does not see the last"),
    (Flaw::LosesEvents, "ten_thousand_records_are_seen_by_all", "10000 records"),
    (Flaw::NeverRemoves, "change_sets_and_removes_and_leaves_the_rest", "\"b\" with None"),
    (
        Flaw::TakesWritesOfTheEvicted,
        "write_of_an_old_incarnation_never_appears",
        "is over publishes",
    ),
    (Flaw::SnapshotsNoReports, "late_joiner_gets_all_in_its_first_snapshot", "as None"),
    (Flaw::SnapshotsHistory, "many_small_publications_take_bounded_room", "entries"),
    (Flaw::ReadsNothing, "direct_read_equals_the_feed", "and a read [None"),
    (Flaw::PublishesBackwards, "last_of_many_publications_stands", "in the order"),
    (Flaw::LetsAllHold, "claim_has_one_owner_among_many_racers", "20 of 20 hold"),
    (Flaw::RepeatsTokens, "token_grows_with_every_grant", "after"),
    (Flaw::ChangesTokens, "holder_that_asks_again_keeps_its_token", "the token was"),
    (Flaw::HidesFreedClaims, "claim_is_freed_by_release_leave_and_crash", "free"),
    (Flaw::NamesTheWrongHolder, "refusal_names_the_holder", "not HeldBy"),
    (Flaw::HidesClaims, "refusal_names_the_holder", "that must agree"),
    (
        Flaw::BelievesInLongerLeases,
        "claim_is_not_freed_before_the_deadline_of_its_holder",
        "the deadline that the holder was given",
    ),
    (
        Flaw::RenewsWithoutContact,
        "holder_that_is_cut_off_passes_its_deadline_first",
        "the deadline in which the holder believes",
    ),
    (
        Flaw::RenewsWithoutContact,
        "lease_deadline_never_goes_back_and_stands_when_cut_off",
        "still advances",
    ),
    (Flaw::StartsWithoutReset, "feed_starts_with_a_whole_snapshot", "the feed starts with"),
    (Flaw::LeavesOutOfSnapshots, "gap_makes_a_new_snapshot_and_no_false_leave", "leaves out"),
    (Flaw::HidesRollbacks, "wiped_store_is_filled_again_from_memory", "is not told"),
    (Flaw::HidesRollbacks, "older_backup_is_noticed_and_made_good", "has lost data"),
    (Flaw::KillsAllAfterAnOutage, "outage_of_the_store_degrades_and_kills_nobody", "Unharmed"),
    (Flaw::KillsAllAfterAnOutage, "short_cut_kills_nobody", "Unharmed"),
    (Flaw::HidesOutages, "outage_of_the_store_degrades_and_kills_nobody", "is away"),
    (Flaw::TellsOwnRecords, "direct_read_equals_the_feed", "its own records"),
    (Flaw::GoesOnAfterItsEnd, "restart_under_the_same_name_replaces_the_former", "follows Evicted"),
    (Flaw::Panics, "two_members_see_each_other", "a panic: on purpose"),
];

/// `memory://` with a flaw.
#[derive(Debug)]
struct Broken(Option<Flaw>);

struct BrokenCluster {
    sound: Box<dyn Cluster>,
    flaw: Option<Flaw>,
}

#[async_trait]
impl Harness for Broken {
    async fn cluster(
        &self,
        cluster: &ClusterName,
        scope: &Scope,
    ) -> Result<Box<dyn Cluster>, HarnessError> {
        let sound = Memory::default().cluster(cluster, scope).await?;
        Ok(Box::new(BrokenCluster { sound, flaw: self.0 }))
    }

    fn means(&self) -> BTreeSet<Means> {
        Memory::default().means()
    }

    fn time(&self) -> Time {
        Time::Paused
    }
}

#[async_trait]
impl Cluster for BrokenCluster {
    fn promises(&self) -> Capabilities {
        session::spoil_promises(self.flaw, self.sound.promises())
    }

    async fn backend(&self, process: &Process) -> Result<Arc<dyn Membership>, HarnessError> {
        let sound = self.sound.backend(process).await?;
        Ok(Arc::new(Flawed { sound, flaw: self.flaw }))
    }

    async fn cut_off(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.sound.cut_off(member).await
    }

    async fn reconnect(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.sound.reconnect(member).await
    }

    async fn set_outage(&self, outage: bool) -> Result<(), HarnessError> {
        self.sound.set_outage(outage).await
    }

    async fn wipe(&self) -> Result<(), HarnessError> {
        self.sound.wipe().await
    }

    async fn back_up(&self) -> Result<(), HarnessError> {
        self.sound.back_up().await
    }

    async fn restore(&self) -> Result<(), HarnessError> {
        self.sound.restore().await
    }

    async fn lose_feed(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.sound.lose_feed(member).await
    }
}

fn case(name: &str) -> &'static Case {
    cases().iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"))
}

#[test]
fn each_flaw_is_caught_by_the_case_that_is_about_it() {
    let mut missed = Vec::new();
    for (flaw, name, reason) in CAUGHT {
        let verdict = run_case(&Broken(Some(*flaw)), case(name));
        if !matches!(&verdict, Verdict::Failed(why) if why.contains(reason)) {
            missed.push(format!("{flaw:?} in {name}: {verdict}"));
        }
    }
    assert!(missed.is_empty(), "{} flaws were missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn wrapper_without_a_flaw_passes_the_cases_that_catch_flaws() {
    let names: BTreeSet<&str> = CAUGHT.iter().map(|(_, name, _)| *name).collect();
    assert!(names.len() >= 30, "only {} cases are shown to fail", names.len());
    let report = run(&Broken(None), |case| names.contains(case.name));
    assert_eq!(report.failed().collect::<Vec<_>>(), Vec::<&str>::new(), "\n{report}");
    assert_eq!(report.rows().count(), names.len());
}

/// Leases are promised; nothing that this harness does can show what they are worth.
#[derive(Debug)]
struct Meansless;

#[async_trait]
impl Harness for Meansless {
    async fn cluster(
        &self,
        cluster: &ClusterName,
        scope: &Scope,
    ) -> Result<Box<dyn Cluster>, HarnessError> {
        Memory::default().cluster(cluster, scope).await
    }

    fn time(&self) -> Time {
        Time::Paused
    }
}

#[test]
fn promise_that_the_harness_cannot_show_fails_and_is_not_skipped() {
    let report = run(&Meansless, |case| (36..=48).contains(&case.number));
    let unshown = [
        "claim_is_not_freed_before_the_deadline_of_its_holder",
        "holder_that_is_cut_off_passes_its_deadline_first",
    ];
    assert_eq!(report.failed().collect::<Vec<_>>(), unshown, "\n{report}");
    let skipped = [
        "backend_without_claims_says_so",
        "gap_makes_a_new_snapshot_and_no_false_leave",
        "short_cut_kills_nobody",
        "outage_of_the_store_degrades_and_kills_nobody",
    ];
    assert_eq!(report.skipped().collect::<Vec<_>>(), skipped, "\n{report}");
}
