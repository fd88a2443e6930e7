//! Streams between machines, as TCP has them: ordered and without loss while they stand.
//!
//! A cut is silence. What was sent into it waits; either it arrives after the division, or whoever
//! sent it gives up first, and the other end learns that only when it sends something itself. A
//! killed process closes its streams at once, a machine that goes off closes nothing.

use std::{collections::VecDeque, time::Duration};

use pogo_core::time::Timestamp;
use pogo_membership_gossip::{
    engine::{DialError, Input, LinkId, Target},
    message::Message,
    timing::Timing,
};

use super::{Endpoint, Net, Place, Step};

/// A dial that nobody answered is repeated after this, and then after twice the time before.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// One end of a stream.
#[derive(Debug)]
pub(super) struct End {
    place: Place,
    /// How often its machine had been off when it was made.
    kernel: u64,
    /// Whether somebody reads and writes here.
    is_open: bool,
    /// What is on its way here, in order.
    inbox: VecDeque<(Timestamp, Item)>,
    last: Timestamp,
    /// Whether that waits, as it did not arrive when it was sent first.
    waits: bool,
    /// How often it had to wait.
    wait: u64,
}

/// A dial without a result yet.
#[derive(Debug)]
pub(super) struct Dial {
    from: Place,
    start: u64,
    to: Option<Place>,
    target: Target,
}

/// What travels over a stream.
#[derive(Debug)]
enum Item {
    /// The dial was answered.
    Answer,
    Message(Box<Message>),
    /// There is no more.
    End,
}

/// How the streams of a process end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// After all that was sent.
    Orderly,
    /// By the system, orderly or not.
    Killed,
    /// Nobody is told.
    Silent,
}

/// After which time a transport gives a dial up that nobody answers.
fn dial_patience(timing: &Timing) -> Duration {
    if timing.detection <= Timing::LOCAL.detection {
        Duration::from_millis(250)
    } else if timing.detection <= Timing::LAN.detection {
        Duration::from_secs(1)
    } else {
        Duration::from_secs(3)
    }
}

/// The two ends of a stream have neighbouring numbers; the dialling one is even.
const fn other(link: LinkId) -> LinkId {
    LinkId(link.0 ^ 1)
}

impl<E: Endpoint> Net<E> {
    pub(super) fn dial(&mut self, from: Place, start: u64, target: Target) {
        self.dialled += 1;
        let link = LinkId(self.dialled * 2);
        let to = self.target(from, target);
        self.dials.insert(link, Dial { from, start, to, target });
        let clog = to.map_or(Duration::ZERO, |to| self.lines.delay(from, to));
        let way = self.ways.one_way(from) + clog;
        self.add(way, Step::Knock { link, tries: 0 });
        let patience = dial_patience(&self.timing);
        self.add(patience, Step::GiveUp(link));
    }

    pub(super) fn knock(&mut self, link: LinkId, tries: u32) {
        let Some(Dial { from, to, .. }) = self.dials.get(&link) else { return };
        let (from, Some(to)) = (*from, *to) else { return };
        if !self.reaches(from, to) || self.lines.is_cut(to, from) {
            self.add(KNOCK_AGAIN * 2_u32.pow(tries), Step::Knock { link, tries: tries + 1 });
            return;
        }
        let way = self.ways.one_way(to) + self.lines.delay(to, from);
        if self.machines.get(to).is_none_or(|machine| machine.running.is_none()) {
            self.add(way, Step::Refused(link));
            return;
        }
        for (link, place) in [(link, from), (other(link), to)] {
            let kernel = self.kernel(place);
            self.ends.insert(link, End::new(place, kernel));
        }
        self.push(link, way, Item::Answer);
        self.handle(to, Input::LinkUp { link: other(link), dialled: None });
    }

    /// A dial has come to nothing.
    pub(super) fn end_dial(&mut self, link: LinkId, error: DialError) {
        let Some(dial) = self.dials.remove(&link) else { return };
        if let Some(end) = self.ends.get_mut(&link) {
            end.is_open = false;
        }
        let machine = self.machines.get(dial.from);
        let running = machine.and_then(|machine| machine.running.as_ref());
        if running.is_some_and(|running| running.start == dial.start) {
            self.handle(dial.from, Input::DialFailed { target: dial.target, error });
        }
    }

    pub(super) fn send(&mut self, link: LinkId, message: Message) {
        let Some(end) = self.ends.get(&link).filter(|end| end.is_open) else { return };
        let from = end.place;
        let message = self.message(from, message);
        let way = self.ways.one_way_for_certain(from) + self.extra(link);
        self.push(other(link), way, Item::Message(Box::new(message)));
    }

    /// An engine closes its end.
    pub(super) fn close(&mut self, link: LinkId) {
        let Some(end) = self.ends.get_mut(&link).filter(|end| end.is_open) else { return };
        end.is_open = false;
        let from = end.place;
        let way = self.ways.one_way_for_certain(from) + self.extra(link);
        self.push(other(link), way, Item::End);
    }

    /// How much longer everything takes from this end to the other.
    fn extra(&self, link: LinkId) -> Duration {
        match (self.ends.get(&link), self.ends.get(&other(link))) {
            (Some(from), Some(to)) => self.lines.delay(from.place, to.place),
            _ => Duration::ZERO,
        }
    }

    /// A process ends, and its streams with it.
    pub(super) fn close_all(&mut self, place: Place, ending: Ending) {
        self.dials.retain(|_, dial| dial.from != place);
        let open = self.ends.iter().filter(|(_, end)| end.place == place && end.is_open);
        let open: Vec<LinkId> = open.map(|(link, _)| *link).collect();
        for link in open {
            let orderly = match ending {
                Ending::Orderly => true,
                Ending::Killed => self.ways.ends_orderly(place),
                Ending::Silent => false,
            };
            if orderly {
                self.close(link);
                continue;
            }
            if let Some(end) = self.ends.get_mut(&link) {
                end.is_open = false;
            }
            if ending == Ending::Killed {
                let way = self.ways.one_way(place);
                self.add(way, Step::Reset(other(link)));
            }
        }
    }

    /// What has come to this end is read, in order.
    pub(super) fn arrive(&mut self, link: LinkId) {
        while let Some(end) = self.ends.get(&link) {
            let is_due = end.inbox.front().is_some_and(|(at, _)| *at <= self.now);
            if end.waits || !is_due {
                return;
            }
            let to = end.place;
            let Some(from) = self.ends.get(&other(link)).map(|sender| sender.place) else { return };
            if !self.reaches(from, to) {
                self.wait(link, from);
                return;
            }
            let Some(end) = self.ends.get_mut(&link) else { return };
            let is_open = end.is_open;
            match end.inbox.pop_front().map(|(_, item)| item) {
                Some(Item::End) => self.shut(link),
                _ if !is_open => {
                    end.inbox.clear();
                    let way = self.ways.one_way(to);
                    self.add(way, Step::Reset(other(link)));
                }
                Some(Item::Answer) => {
                    let dialled = self.dials.remove(&link).map(|dial| dial.target);
                    self.handle(to, Input::LinkUp { link, dialled });
                }
                Some(Item::Message(message)) => {
                    self.handle(to, Input::Received { link, message: *message });
                }
                None => return,
            }
        }
    }

    /// What was sent from `from` does not arrive at this end for now.
    fn wait(&mut self, link: LinkId, from: Place) {
        let patience = self.ways.patience(from);
        let Some(end) = self.ends.get_mut(&link) else { return };
        end.waits = true;
        end.wait += 1;
        let wait = end.wait;
        self.add(patience, Step::Break(link, wait));
    }

    /// What waits is sent again wherever it can arrive now.
    pub(super) fn resend_all(&mut self) {
        let waiting = self.ends.iter().filter(|(_, end)| end.waits);
        let waiting: Vec<(LinkId, Place)> = waiting.map(|(link, end)| (*link, end.place)).collect();
        for (link, to) in waiting {
            let sender = self.ends.get(&other(link)).map(|end| end.place);
            if let Some(from) = sender.filter(|from| self.reaches(*from, to)) {
                let pause = self.ways.pause(from);
                self.add(pause, Step::Resend(link));
            }
        }
    }

    pub(super) fn resend(&mut self, link: LinkId) {
        let Some(sender) = self.ends.get(&other(link)) else { return };
        let is_lost = self.kernel(sender.place) != sender.kernel;
        let Some(end) = self.ends.get_mut(&link) else { return };
        end.waits = false;
        if is_lost {
            end.inbox.clear();
        }
        self.arrive(link);
    }

    /// Whoever sent what waits for this end has lost patience.
    pub(super) fn break_off(&mut self, link: LinkId, wait: u64) {
        let Some(end) = self.ends.get_mut(&link) else { return };
        if end.waits && end.wait == wait {
            end.waits = false;
            end.inbox.clear();
            self.shut(other(link));
        }
    }

    /// This end is told that the other one does not exist any more, unless that is lost.
    pub(super) fn reset(&mut self, link: LinkId) {
        let (Some(end), Some(sender)) = (self.ends.get(&link), self.ends.get(&other(link))) else {
            return;
        };
        if self.reaches(sender.place, end.place) {
            if let Some(end) = self.ends.get_mut(&link) {
                end.inbox.clear();
            }
            self.shut(link);
        }
    }

    /// Nothing comes to this end or goes from it any more.
    fn shut(&mut self, link: LinkId) {
        let Some(end) = self.ends.get_mut(&link) else { return };
        let (place, was_open) = (end.place, end.is_open);
        end.is_open = false;
        if self.dials.contains_key(&link) {
            self.end_dial(link, DialError::Unreachable("closed while dialling".to_owned()));
        } else if was_open {
            self.handle(place, Input::LinkDown(link));
        }
        let is_over = |link| self.ends.get(&link).is_none_or(|end| !end.is_open);
        if is_over(link) && is_over(other(link)) {
            self.ends.remove(&link);
            self.ends.remove(&other(link));
        }
    }

    fn push(&mut self, link: LinkId, way: Duration, item: Item) {
        let at = self.now + way;
        let Some(end) = self.ends.get_mut(&link) else { return };
        let at = at.max(end.last);
        end.last = at;
        end.inbox.push_back((at, item));
        self.add_at(at, Step::Arrive(link));
    }

    fn kernel(&self, place: Place) -> u64 {
        self.machines.get(place).map_or(0, |machine| machine.kernel)
    }
}

impl End {
    const fn new(place: Place, kernel: u64) -> Self {
        Self {
            place,
            kernel,
            is_open: true,
            inbox: VecDeque::new(),
            last: Timestamp::ZERO,
            waits: false,
            wait: 0,
        }
    }
}
