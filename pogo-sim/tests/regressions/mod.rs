//! Plans that once broke a law, kept as text: a seed means another plan with the next draw added to
//! its scenario.

use std::{fs, path::Path};

use pogo_sim::{plan::Plan, world::run_plan};

fn holds(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let plan: Plan = fs::read_to_string(file).unwrap().parse().unwrap();
    let outcome = run_plan(&plan);
    assert_eq!(outcome.violation, None);
    assert!(outcome.stats.starts > 0);
}

/// A draining member launched what it had prepared before it was asked to drain (S13).
#[test]
fn draining_member_launches_nothing_that_it_had_prepared() {
    holds("drain-launches-nothing.plan");
}

/// The record of the first death arrived after the second death and replaced both (R11).
#[test]
fn strike_outlives_an_older_record_that_comes_late() {
    holds("strike-outlives-late-record.plan");
}

/// Members that were only cut off or evicted counted as having died (R11).
#[test]
fn division_strikes_no_child() {
    holds("division-strikes-nobody.plan");
}

/// A member that was asked to leave before its first snapshot stayed a member (R13).
#[test]
fn leave_before_the_first_snapshot_frees_the_name() {
    holds("leave-before-first-snapshot.plan");
}

/// A report learnt anew after a division made a child look young that had run for long (R11).
#[test]
fn strike_needs_a_start_that_was_seen() {
    holds("strike-needs-a-seen-start.plan");
}

/// A member came back while the record that it had died was on its way (R11).
#[test]
fn member_that_is_back_lapses_strikes_that_come_late() {
    holds("strike-lapses-for-the-living.plan");
}

/// Two members that held each other to be dead met, and neither said that it was alive (L2).
#[test]
fn members_whose_hellos_cross_are_alive_to_each_other_over_gossip() {
    holds("gossip-hellos-that-cross.plan");
}

/// The new seeds formed a cluster of their own, and those who had stayed never dialled them (R12).
#[test]
fn seeds_that_all_restarted_are_found_by_those_who_stayed_over_gossip() {
    holds("gossip-seeds-that-all-restarted.plan");
}

/// A process whose name was taken acknowledged a change, and nobody else had it (R3).
#[test]
fn refused_process_keeps_no_change_over_gossip() {
    holds("gossip-refused-process-keeps-nothing.plan");
}

/// A temporary child's one start was taken, and its mark arrived while its member drained (R5, R23).
#[test]
fn temporary_child_begins_where_its_one_start_was_taken() {
    holds("temporary-start-is-taken-before-the-drain.plan");
}

/// Who was asked for a change died without it, and another had returned meanwhile (R3).
#[test]
fn change_is_not_accepted_alone_where_somebody_returned_over_gossip() {
    holds("gossip-change-asks-who-returned.plan");
}

/// The release of a claim was answered after the claim was granted anew (S12).
#[test]
fn claim_is_asked_for_only_after_its_release() {
    holds("claim-is-asked-for-after-its-release.plan");
}

/// A wiped store has no record of a child that a member which is away will put back (R15, S5).
#[test]
fn nothing_found_in_a_wiped_store_ends_no_child() {
    holds("not-found-in-a-wiped-store.plan");
}

/// With as many members as the quorum needs, nobody but the new process of the dead member started
/// the child, and nobody had written the strike (R11).
#[test]
fn poison_child_is_quarantined_where_every_member_is_needed_for_the_quorum() {
    holds("poison-in-a-quorum.plan");
}

/// A member that gave its failing child up for an instance that ended meanwhile counted anew (R11).
#[test]
fn failures_outlast_a_drop() {
    holds("failures-outlast-a-drop.plan");
}

/// A process that stood still found out that its session had ended before it had read that it had
/// one, and never joined again (the world: what came first is found first).
#[test]
fn process_that_goes_on_reads_what_waited_before_what_follows() {
    holds("pause-over-a-restored-store.plan");
}

/// A process that stood still was told of members before it was told that it had joined, so it never
/// knew of them and started a child of theirs (the world; L2).
#[test]
fn process_that_goes_on_knows_of_who_came_meanwhile() {
    holds("twin-asks-while-its-bearer-stands-still.plan");
}

/// A strict run that was stopped late, after a pause, had its whole grace past its deadline (R16).
#[test]
fn late_stop_ends_by_the_deadline() {
    holds("late-stop-ends-by-the-deadline.plan");
}

/// A start that was decided in a division may begin just after its end (R6; the law).
#[test]
fn start_that_was_decided_apart_may_begin_over_gossip() {
    holds("gossip-start-decided-in-a-division.plan");
}

/// The store named fewer members than the quorum, and a run went on until the next look (R17).
#[test]
fn quorum_ends_when_the_store_names_too_few_members() {
    holds("quorum-ends-with-its-members.plan");
}

/// 'Not found' is no promise while others put back what a wiped store lost (R15; the oracle).
#[test]
fn nothing_is_promised_while_others_put_a_child_back() {
    holds("not-found-while-others-put-it-back.plan");
}

/// 'Already present' is no promise while others put back what a wiped store lost (R15; the oracle).
#[test]
fn present_is_no_promise_while_others_put_back_that_it_was_ended() {
    holds("present-in-a-wiped-store.plan");
}

/// A termination that the store had lost came back, by a clock that was ahead, above a start that was
/// accepted meanwhile: the order of records decides (R2, R15; the oracle).
#[test]
fn change_that_a_store_lost_is_ordered_by_its_stamp_when_it_is_put_back() {
    holds("lost-change-comes-back-above-a-later-one.plan");
}

/// A start waited for the record of a strike and that for the back-off of an outage that was over, while
/// another member, which could not know, began the child (R6, R11).
#[test]
fn what_failed_in_an_outage_is_written_as_soon_as_there_is_a_session() {
    holds("failed-write-meets-a-new-session.plan");
}

/// It waited for a claim in a store of whose epoch nobody knew, and its member was its owner no more
/// (R5, R18; the law).
#[test]
fn temporary_child_begins_where_its_one_start_was_taken_however_late() {
    holds("temporary-start-waits-for-its-claim.plan");
}

/// One event was on its way for seconds after the store had its speed again (L2; the store model).
#[test]
fn feed_of_a_slow_store_catches_up_when_the_store_does() {
    holds("store-is-fast-again.plan");
}

/// The larger side of a division ran the child when the smaller one, in which it had been released to
/// a member, came back (R17).
#[test]
fn release_to_a_member_that_lost_its_quorum_is_void_over_gossip() {
    holds("gossip-release-outlived-a-quorum.plan");
}

/// Who acknowledged a change had a newer one of its own under way, and its node did not know that it
/// stood (R3; the world).
#[test]
fn change_below_a_newer_one_that_is_under_way_is_accepted_over_gossip() {
    holds("gossip-newer-change-under-way.plan");
}

/// The world looked for changed views only with some events, and a cordon that others had long heard of
/// seemed to change a view at rest (L5; the world).
#[test]
fn cordon_is_seen_before_the_cluster_rests() {
    holds("cordon-is-seen-before-rest.plan");
}

/// A release was dropped for a newer version of the child, and its releaser began that while the one it
/// was released to, cordoned meanwhile, took the release up (R7).
#[test]
fn release_stands_while_its_taker_lives_whatever_the_version() {
    holds("release-outlives-a-newer-version.plan");
}

/// Who saw a releaser leave, but not yet that its child was taken up, started it beside the taker (R7).
#[test]
fn release_that_is_gone_was_taken_up() {
    holds("release-outlives-its-releaser.plan");
}

/// The only member ended, and its next process was held to a state that nobody kept (S16; the world).
#[test]
fn state_ends_with_the_last_member_where_members_alone_keep_it() {
    holds("gossip-last-member-ends.plan");
}

/// The session in which a store was found empty ended before a child was put back, and the next one
/// took the child for terminated (R15).
#[test]
fn child_is_put_back_however_many_sessions_that_takes() {
    holds("put-back-outlives-its-session.plan");
}

/// A move waited for another one, and the child's start failed meanwhile (R7; the law).
#[test]
fn move_may_follow_a_failed_start_long_after_its_cause() {
    holds("move-waits-while-a-start-fails.plan");
}

/// A member was cordoned and uncordoned before the others had read of the first, and took their views
/// for equal to its own (R6, R17).
#[test]
fn quorum_child_runs_once_where_a_cordon_is_taken_back_at_once() {
    holds("cordon-that-was-taken-back-at-once.plan");
}

/// A member was evicted and back at once; its releaser had read of its end and ran the child again, and
/// it took the release up in its new session (R17).
#[test]
fn quorum_child_released_across_an_eviction_waits_for_views_to_agree() {
    holds("release-across-an-eviction.plan");
}

/// The store was well again, and a renewal that it had held up still kept the next one waiting (R17).
#[test]
fn quorum_outlasts_a_store_that_was_slow_and_is_fast_again() {
    holds("renewals-of-a-store-that-is-fast-again.plan");
}

/// A tombstone was lost before its writer heard of it; that said 'not found', and who had seen the
/// tombstone put it back (R15).
#[test]
fn child_that_was_terminated_right_before_its_store_was_wiped_may_be_gone_or_not() {
    holds("terminated-in-a-wiped-store.plan");
}
