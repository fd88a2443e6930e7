//! The list of cases, and what each needs.

use std::{collections::BTreeSet, fmt};

use futures_util::future::LocalBoxFuture;
use pogo_core::membership::{Capabilities, Durability, Guarantee};

use crate::{failure::Outcome, harness::Means, world::World};

/// One case: an outcome that every backend has, where it offers what the case is about.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its number, the same for ever.
    pub number: u8,
    /// The outcome as a sentence, which is also the name of its test.
    pub name: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    pub(crate) run: for<'a> fn(&'a World) -> LocalBoxFuture<'a, Outcome>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}

/// What a case needs of a backend or of its harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// [`Capabilities::compare_and_set`].
    CompareAndSet,
    /// [`Capabilities::claims`].
    Claims,
    /// That there are no claims.
    NoClaims,
    /// [`Capabilities::lease_ttl`].
    Lease,
    /// [`Durability::Server`] or better.
    OutlivesMembers,
    /// [`Durability::Disk`].
    OutlivesRestart,
    /// Something that the harness does.
    Means(Means),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CompareAndSet => f.write_str("compare-and-set"),
            Self::Claims => f.write_str("claims"),
            Self::NoClaims => f.write_str("a backend without claims"),
            Self::Lease => f.write_str("leases"),
            Self::OutlivesMembers => f.write_str("records that outlive all members"),
            Self::OutlivesRestart => f.write_str("records that outlive a restart of everything"),
            Self::Means(means) => write!(f, "a harness that can {means}"),
        }
    }
}

impl Need {
    /// Whether the backend offers it; `None` where that is up to the harness.
    fn is_promised(self, promises: &Capabilities) -> Option<bool> {
        Some(match self {
            Self::CompareAndSet => promises.compare_and_set > Guarantee::None,
            Self::Claims => promises.claims > Guarantee::None,
            Self::NoClaims => promises.claims == Guarantee::None,
            Self::Lease => promises.lease_ttl.is_some(),
            Self::OutlivesMembers => promises.durability >= Durability::Server,
            Self::OutlivesRestart => promises.durability >= Durability::Disk,
            Self::Means(_) => return None,
        })
    }
}

/// Whether a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// For want of this.
    Closed(Need),
    /// The backend promises what the case is about, and this is missing to show it.
    Unshown(Need),
}

impl Case {
    pub(crate) fn gate(&self, promises: &Capabilities, means: &BTreeSet<Means>) -> Gate {
        let is_missing = |need: &Need| need.is_promised(promises) == Some(false);
        if let Some(need) = self.needs.iter().copied().find(is_missing) {
            return Gate::Closed(need);
        }
        let is_beyond = |need: &Need| matches!(need, Need::Means(it) if !means.contains(it));
        match self.needs.iter().copied().find(is_beyond) {
            None => Gate::Open,
            Some(need) if self.needs.iter().any(|it| it.is_promised(promises).is_some()) => {
                Gate::Unshown(need)
            }
            Some(need) => Gate::Closed(need),
        }
    }
}

/// The list, handed to another macro: number, file, name, and needs.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ([$($then:tt)*]) => {
        $($then)*! {
            1 membership joined_member_sees_itself [];
            2 membership two_members_see_each_other [];
            3 membership metadata_reaches_the_others_unchanged [];
            4 membership status_goes_from_joining_to_active_to_draining [];
            5 membership leave_is_told_as_left_and_once [];
            6 membership crash_is_told_as_failed_within_the_promised_time [Means(CutOff)];
            7 membership live_member_is_never_reported_failed [];
            8 membership rejoin_has_a_higher_incarnation [];
            9 membership name_of_a_live_member_is_taken [];
            10 membership restart_under_the_same_name_replaces_the_former [];
            11 membership member_that_was_given_up_learns_of_it [Means(CutOff)];
            12 membership many_members_that_join_at_once_see_each_other [];
            13 membership dropped_session_is_a_crash [];
            14 membership clusters_and_scopes_on_one_server_stay_apart [];
            15 shared record_that_was_put_is_read_by_others [];
            16 shared newer_record_wins_in_any_order [];
            17 shared writer_breaks_a_tie_of_time [];
            18 shared tombstone_beats_an_older_record [];
            19 shared newer_record_beats_a_tombstone [];
            20 shared record_survives_its_writer [];
            21 shared record_survives_all_members [OutlivesMembers];
            22 shared record_survives_a_restart_of_everything [OutlivesRestart, Means(Restart)];
            23 shared compare_and_set_has_one_winner [CompareAndSet];
            24 shared batch_has_one_outcome_for_each_record [];
            25 shared record_above_the_limit_is_too_large [];
            26 shared any_key_and_any_value_come_back_unchanged [];
            27 shared repeating_a_request_changes_nothing [];
            28 owned ten_thousand_records_are_seen_by_all [];
            29 owned change_sets_and_removes_and_leaves_the_rest [];
            30 owned last_of_many_publications_stands [];
            31 owned records_vanish_with_their_owner [];
            32 owned write_of_an_old_incarnation_never_appears [];
            33 owned late_joiner_gets_all_in_its_first_snapshot [];
            34 owned direct_read_equals_the_feed [];
            35 owned many_small_publications_take_bounded_room [];
            36 claims claim_has_one_owner_among_many_racers [Claims];
            37 claims token_grows_with_every_grant [Claims];
            38 claims claim_is_freed_by_release_leave_and_crash [Claims];
            39 claims claim_is_not_freed_before_the_deadline_of_its_holder [Claims, Lease, Means(CutOff)];
            40 claims holder_that_is_cut_off_passes_its_deadline_first [Claims, Lease, Means(CutOff)];
            41 claims refusal_names_the_holder [Claims];
            42 claims holder_that_asks_again_keeps_its_token [Claims];
            43 claims backend_without_claims_says_so [NoClaims];
            44 feed feed_starts_with_a_whole_snapshot [];
            45 feed nothing_is_lost_or_told_twice_under_load [];
            46 feed gap_makes_a_new_snapshot_and_no_false_leave [Means(LoseFeed)];
            47 faults short_cut_kills_nobody [Means(CutOff)];
            48 faults outage_of_the_store_degrades_and_kills_nobody [Means(Outage)];
            49 faults wiped_store_is_filled_again_from_memory [Means(Wipe)];
            50 faults older_backup_is_noticed_and_made_good [Means(Restore)];
            51 faults wrong_credentials_are_denied [Means(Intruder)];
            52 claims lease_deadline_never_goes_back_and_stands_when_cut_off [Lease, Means(CutOff)];
            53 feed slow_reader_stays_a_member [];
            54 faults works_encrypted_and_plain [Means(OtherWire)];
        }
    };
}

macro_rules! table {
    ($($number:literal $file:ident $name:ident [$($need:ident $(($means:ident))?),*];)*) => {
        const CASES: &[Case] = &[$(Case {
            number: $number,
            name: stringify!($name),
            needs: &[$(Need::$need $((Means::$means))?),*],
            run: |world| Box::pin(crate::cases::$file::$name(world)),
        }),*];
    };
}

for_each_case! { [table] }

/// All cases, in the order of their numbers.
pub const fn cases() -> &'static [Case] {
    CASES
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use super::*;

    #[test]
    fn numbers_run_from_1_to_54_and_names_differ() {
        let numbers: Vec<u8> = cases().iter().map(|case| case.number).collect();
        assert_eq!(numbers, (1..=54).collect::<Vec<u8>>());
        let names: BTreeSet<&str> = cases().iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases().len());
    }

    #[test]
    fn page_for_authors_lists_every_case() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let page = fs::read_to_string(page).unwrap();
        for Case { number, name, .. } in cases() {
            assert!(page.contains(&format!("| {number} | `{name}` |")), "{number} {name}");
        }
    }

    #[test]
    fn promise_that_nothing_can_show_is_no_reason_to_skip() {
        let case = Case { needs: &[Need::Lease, Need::Means(Means::CutOff)], ..CASES[0] };
        let mut promises = Capabilities::least(Duration::from_secs(1), Duration::from_secs(1));
        let none = BTreeSet::new();
        assert_eq!(case.gate(&promises, &none), Gate::Closed(Need::Lease));
        promises.lease_ttl = Some(Duration::from_secs(1));
        assert_eq!(case.gate(&promises, &none), Gate::Unshown(Need::Means(Means::CutOff)));
        assert_eq!(case.gate(&promises, &BTreeSet::from([Means::CutOff])), Gate::Open);
        let case = Case { needs: &[Need::Means(Means::CutOff)], ..CASES[0] };
        assert_eq!(case.gate(&promises, &none), Gate::Closed(Need::Means(Means::CutOff)));
    }
}
