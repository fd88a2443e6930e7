//! S2: fencing tokens of a child grow from grant to grant, over all time and whatever the backend
//! comes through, and each is one process' alone; so a resource that takes no token below the
//! highest it has seen takes no write of an instance that was replaced.
//!
//! The model resource is here: instances write to it at random times, and writes may be long on
//! their way. One that runs and was not paused is never behind (S1).

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, FencingToken},
    spec::Exclusivity,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{
    fact::{Fact, Started},
    picture::Picture,
};

/// A child's tokens.
#[derive(Debug)]
struct Tokens {
    granted: FencingToken,
    to: BootId,
    /// The highest that the resource has seen.
    written: Option<FencingToken>,
}

#[derive(Debug)]
pub(super) struct Fencing {
    kill: Duration,
    tokens: BTreeMap<ChildId, Tokens>,
}

impl Fencing {
    /// A process that goes on after a pause has `kill` to end its instances.
    pub(super) fn new(kill: Duration) -> Self {
        Self { kill, tokens: BTreeMap::new() }
    }

    fn on_start(&mut self, started: &Started) -> Result<(), Violation> {
        let Started { child, host, boot, .. } = started;
        let Some(token) = started.token else {
            return self.broken(Some(child), format_args!("{host} starts it without a token"));
        };
        let fresh = Tokens { granted: token, to: *boot, written: None };
        let last = self.tokens.entry(child.clone()).or_insert(fresh);
        let (before, to) = (last.granted, last.to);
        (last.granted, last.to) = (before.max(token), *boot);
        if token < before || (token == before && to != *boot) {
            return self.broken(
                Some(child),
                format_args!("{host} has token {token}, {to:?} had {before} before"),
            );
        }
        Ok(())
    }
}

impl Law for Fencing {
    fn name(&self) -> &'static str {
        "S2 fencing"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Started(started) if started.exclusivity == Exclusivity::Strict => {
                return self.on_start(started);
            }
            Fact::Writes { host, child, run } => {
                let mut all = picture.of(child).iter();
                let Some(writer) = all.find(|one| one.host == *host && one.run == *run) else {
                    return self.broken(Some(child), format_args!("{host} writes after its end"));
                };
                let seen = self.tokens.get(child).and_then(|tokens| tokens.written);
                let excused = writer.is_blocked() || picture.is_excused(writer, now, self.kill);
                if writer.token < seen && !excused {
                    let mine = writer.token;
                    let what = format_args!("{host} writes with {mine:?}, {seen:?} was seen");
                    return self.broken(Some(child), what);
                }
            }
            Fact::Wrote { child, token } => {
                if let Some(tokens) = self.tokens.get_mut(child) {
                    tokens.written = tokens.written.max(Some(*token));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pogo_core::id::RunId;

    use super::{super::handmade::*, *};

    fn world() -> World<Fencing> {
        World::of(Fencing::new(Duration::from_secs(1)), &["a", "b"])
    }

    fn granted(host: &str, run: u64, token: Option<u64>) -> Fact {
        let mut started = World::<Fencing>::start_of(host, run);
        started.exclusivity = Exclusivity::Strict;
        started.token = token.map(FencingToken::new);
        Fact::Started(started)
    }

    fn writes(host: &str) -> Fact {
        Fact::Writes { host: name(host), child: child(), run: RunId::new(1) }
    }

    #[test]
    fn token_that_does_not_grow_breaks_it() {
        let mut world = world();
        world.see(&granted("a", 1, Some(5))).unwrap();
        world.exits("a", 1).unwrap();
        world.see(&granted("a", 2, Some(5))).unwrap();
        world.exits("a", 2).unwrap();
        assert!(world.see(&granted("b", 1, Some(5))).is_err(), "it is another's");
        world.see(&granted("b", 1, Some(6))).unwrap();
        world.exits("b", 1).unwrap();
        assert!(world.see(&granted("a", 3, Some(5))).is_err());
    }

    #[test]
    fn strict_start_without_a_token_breaks_it() {
        assert!(world().see(&granted("a", 1, None)).is_err());
    }

    #[test]
    fn instance_that_is_behind_writes_only_after_a_pause() {
        let mut world = world();
        world.see(&granted("a", 1, Some(5))).unwrap();
        world.see(&writes("a")).unwrap();
        world.see(&Fact::Paused { host: name("a") }).unwrap();
        world.see(&granted("b", 1, Some(6))).unwrap();
        world.see(&Fact::Wrote { child: child(), token: FencingToken::new(6) }).unwrap();
        world.see(&Fact::Wrote { child: child(), token: FencingToken::new(5) }).unwrap();
        world.see(&Fact::Resumed { host: name("a") }).unwrap();
        world.see(&writes("a")).unwrap();
        world.see(&writes("b")).unwrap();
        world.at(9);
        assert!(world.see(&writes("a")).is_err());
    }
}
