//! L6: each request of a client gets exactly one answer, in time; only the end of the member that
//! was asked leaves it open. One that stands still or is slow may take longer.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{MemberName, RequestId},
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{fact::Fact, oracle::Oracle, picture::Picture};

#[derive(Debug)]
pub(super) struct Answers {
    within: Duration,
    open: BTreeMap<RequestId, MemberName>,
    /// Requests that must be answered by then.
    due: BTreeMap<(Timestamp, RequestId), MemberName>,
}

impl Answers {
    /// Answers come `within` this time. A drain answers when it has ended (S14).
    pub(super) fn new(within: Duration) -> Self {
        Self { within, open: BTreeMap::new(), due: BTreeMap::new() }
    }
}

impl Law for Answers {
    fn name(&self) -> &'static str {
        "L6 answers"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::Asked { host, request, what, .. } => {
                self.open.insert(*request, host.clone());
                if !what.starts_with("Drain") {
                    self.due.insert((now + self.within, *request), host.clone());
                }
            }
            Fact::Replied { host, request, .. }
                if self.open.remove(request).as_ref() != Some(host) =>
            {
                let what = format_args!("{host} answers {request}, which is not open");
                return self.broken(None, what);
            }
            Fact::Crashed { host, .. } | Fact::Stopped { host } | Fact::Abandoned { host, .. } => {
                self.open.retain(|_, asked| asked != host);
            }
            _ => {}
        }
        while let Some(entry) = self.due.first_entry().filter(|it| it.key().0 < now) {
            let ((_, request), host) = entry.remove_entry();
            if !self.open.contains_key(&request) {
                continue;
            }
            if picture.is_stalled(&host, now, self.within) {
                self.due.insert((now + self.within, request), host);
            } else {
                let what = format_args!("{host} owes the answer to {request} for too long");
                return self.broken(None, what);
            }
        }
        Ok(())
    }

    fn may_rest(&mut self, _: Timestamp, _: &Picture, _: &Oracle) -> Result<(), Violation> {
        match self.open.first_key_value() {
            Some((request, host)) => {
                self.broken(None, format_args!("request {request} to {host} has no answer"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<Answers> {
        let mut world = World::of(Answers::new(Duration::from_secs(5)), &["a", "b"]);
        world.asks(None).unwrap();
        world
    }

    fn replied(host: &str) -> Fact {
        let (host, request, what) = (name(host), RequestId::new(1), String::new());
        Fact::Replied { host, request, what }
    }

    #[test]
    fn second_answer_breaks_it() {
        let mut world = world();
        assert!(world.rests().is_err());
        world.see(&replied("a")).unwrap();
        world.rests().unwrap();
        assert!(world.see(&replied("a")).is_err());
    }

    #[test]
    fn answer_by_somebody_else_breaks_it() {
        assert!(world().see(&replied("b")).is_err());
    }

    #[test]
    fn answer_that_does_not_come_breaks_it_unless_the_member_ended() {
        let mut world = world();
        world.at(9);
        assert!(world.see(&Fact::Healed).is_err());
        let mut world = self::world();
        world.crashes("a");
        world.at(9);
        world.see(&Fact::Healed).unwrap();
        world.rests().unwrap();
    }
}
