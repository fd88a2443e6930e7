//! What really happened to each member, so that what others are told of it can be judged.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pogo_core::{
    id::{FencingToken, MemberId},
    record::Key,
};

/// What the case did to one stay of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: it lives, and others reach it.
    Unharmed,
    /// It was crashed, cut off, or lost its store.
    Harmed,
    /// It left.
    Left,
    /// It joined again.
    Replaced,
}

/// Fates, grants, and which laws were broken.
#[derive(Debug, Default)]
pub(crate) struct Truth(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    fates: BTreeMap<MemberId, Fate>,
    /// The highest token of each claim, and to whom it was granted.
    grants: BTreeMap<Key, (FencingToken, MemberId)>,
    breaches: Vec<String>,
}

impl Truth {
    pub(crate) fn fate(&self, id: &MemberId) -> Fate {
        self.facts().fates.get(id).copied().unwrap_or(Fate::Unharmed)
    }

    pub(crate) fn set_fate(&self, id: &MemberId, fate: Fate) {
        self.facts().fates.insert(id.clone(), fate);
    }

    /// Notes a grant: tokens of one claim grow with each, and one holder keeps its.
    pub(crate) fn granted(&self, owner: &MemberId, key: &Key, token: FencingToken) {
        let mut facts = self.facts();
        match facts.grants.get(key) {
            Some((last, holder)) if token < *last || (token == *last && holder != owner) => {
                let breach = format!(
                    "{owner:?} got token {token} for {key:?} after {holder:?} had got {last}"
                );
                facts.breaches.push(breach);
            }
            Some(_) | None => drop(facts.grants.insert(key.clone(), (token, owner.clone()))),
        }
    }

    /// Notes that `observer` was told what it must not be told.
    pub(crate) fn breach(&self, observer: &MemberId, what: &str) {
        self.facts().breaches.push(format!("the feed of {observer}: {what}"));
    }

    /// The first breach so far.
    pub(crate) fn first_breach(&self) -> Option<String> {
        self.facts().breaches.first().cloned()
    }

    /// What a panic left behind is still whole.
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
