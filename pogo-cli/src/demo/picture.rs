//! The live table: members, services, and what happened last, on one screen.
//!
//! It folds the demo's events and lays out lines; drawing them is another's. What does not fit is
//! cut from the bottom, where the oldest news are.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    event::{Event, Millis, Seat, Spread},
    line::{Line, Tone},
    service_report::ServiceReport,
};

/// What the table shows besides what is read anew for each frame.
#[derive(Debug)]
pub(crate) struct Picture {
    title: String,
    members: BTreeMap<String, State>,
    seats: BTreeMap<String, Seat>,
    news: VecDeque<(Duration, Tone, String)>,
    failovers: Vec<Millis>,
    kills: usize,
}

/// What is read anew for each frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) at: Duration,
    pub(crate) children: usize,
    pub(crate) by_member: BTreeMap<String, BTreeSet<String>>,
    pub(crate) duplicates: u64,
    /// Where the monitors run in this process.
    pub(crate) services: Option<Vec<ServiceReport>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Up,
    Killed,
}

const NEWS: usize = 50;
const BAR: usize = 24;

impl Picture {
    /// The table of a demo that has not begun.
    pub(crate) fn new(title: String, members: impl IntoIterator<Item = String>) -> Self {
        Self {
            title,
            members: members.into_iter().map(|name| (name, State::Starting)).collect(),
            seats: BTreeMap::new(),
            news: VecDeque::new(),
            failovers: Vec::new(),
            kills: 0,
        }
    }

    /// Takes note of what happened at `at`.
    pub(crate) fn observe(&mut self, at: Duration, event: &Event) {
        let tone = match event {
            Event::Ready(_) => {
                self.members.values_mut().for_each(|state| *state = State::Up);
                Tone::Good
            }
            Event::Killed(killed) => {
                self.kills += 1;
                self.members.insert(killed.member.clone(), State::Killed);
                self.seats.remove(&killed.member);
                Tone::Warning
            }
            Event::Failover(failover) => {
                self.failovers.extend(failover.all_running);
                self.members.insert(failover.member.clone(), State::Starting);
                if failover.lost == 0 && failover.duplicates == 0 { Tone::Good } else { Tone::Bad }
            }
            Event::Up(up) => {
                self.members.insert(up.member.clone(), State::Up);
                self.seats.extend(up.seat.map(|seat| (up.member.clone(), seat)));
                Tone::Plain
            }
            Event::Summary(_) => return,
        };
        self.news.push_front((at, tone, event.to_string()));
        self.news.truncate(NEWS);
    }

    /// The lines of the table, as many as fit `height`.
    pub(crate) fn lines(&self, frame: &Frame, height: usize) -> Vec<Line> {
        let mut lines = vec![self.head(frame), Line::default()];
        lines.extend(self.member_lines(frame));
        lines.push(Line::default());
        if let Some(services) = &frame.services {
            lines.extend(service_lines(services));
            lines.push(Line::default());
        }
        lines.push(self.promise(frame));
        lines.push(Line::default());
        lines.extend(self.news.iter().map(|(at, tone, text)| {
            Line::default().with(Tone::Dim, format!(" {}  ", clock(*at))).with(*tone, text)
        }));
        lines.truncate(height);
        lines
    }

    fn head(&self, frame: &Frame) -> Line {
        Line::default()
            .with(Tone::Strong, format!(" pogo demo  {}", clock(frame.at)))
            .with(Tone::Plain, format!("   {}", self.title))
            .with(Tone::Dim, "   Ctrl-C ends it")
    }

    fn member_lines(&self, frame: &Frame) -> Vec<Line> {
        let seats = if self.seats.is_empty() { ["", ""] } else { ["PROCESS", "HTTP"] };
        let [process, http] = seats;
        let head = format!(
            " {:<12} {:<12} {:>8}  {:BAR$}  {process:>8}  {http}",
            "MEMBER", "STATE", "CHILDREN", ""
        );
        let mut lines = vec![Line::default().with(Tone::Dim, head.trim_end())];
        for (name, state) in &self.members {
            let children = frame.by_member.get(name).map_or(0, BTreeSet::len);
            let (tone, word) = match state {
                State::Starting => (Tone::Warning, "starting"),
                State::Up => (Tone::Good, "up"),
                State::Killed => (Tone::Bad, "killed"),
            };
            let bar = format!("{:<BAR$}", bar(children, frame.children));
            let mut line = Line::default()
                .with(Tone::Strong, format!(" {name:<12} "))
                .with(tone, format!("{word:<12} "))
                .with(Tone::Plain, format!("{children:>8}  "))
                .with(tone, bar);
            if let Some(Seat { pid, http }) = self.seats.get(name) {
                line = line.with(Tone::Dim, format!("  {pid:>8}  http://{http}"));
            }
            lines.push(line);
        }
        lines
    }

    fn promise(&self, frame: &Frame) -> Line {
        let running: BTreeSet<&String> = frame.by_member.values().flatten().collect();
        let running = running.len();
        let tone = if running == frame.children { Tone::Good } else { Tone::Warning };
        let twice = if frame.duplicates == 0 { Tone::Good } else { Tone::Bad };
        let mut line = Line::default()
            .with(tone, format!(" {running} of {} running", frame.children))
            .with(Tone::Plain, " · ")
            .with(twice, format!("{} ran twice", frame.duplicates))
            .with(Tone::Plain, format!(" · {} killed", self.kills));
        if let Some(Spread { median, longest }) = Spread::of(&self.failovers) {
            line = line
                .with(Tone::Plain, format!(" · failover {median} (median), {longest} (longest)"));
        }
        line
    }
}

fn service_lines(services: &[ServiceReport]) -> Vec<Line> {
    let mut lines = vec![Line::default().with(
        Tone::Dim,
        format!(
            " {:<12} {:<28} {:>8} {:>6} {:>10} {:>8}  {}",
            "SERVICE", "TARGET", "MONITORS", "OK", "LATENCY", "IN A ROW", "LAST"
        ),
    )];
    for service in services {
        let tone = if service.trouble.is_some() { Tone::Bad } else { Tone::Good };
        let well = if service.ok == service.monitors { Tone::Good } else { Tone::Bad };
        let latency = service.last_latency.map_or_else(String::new, |latency| latency.to_string());
        let row = match service.consecutive_failures {
            0 => String::new(),
            failures => failures.to_string(),
        };
        lines.push(
            Line::default()
                .with(Tone::Strong, format!(" {:<12} ", cut(&service.name, 12)))
                .with(Tone::Dim, format!("{:<28} ", cut(&service.target, 28)))
                .with(Tone::Plain, format!("{:>8} ", service.monitors))
                .with(well, format!("{:>6} ", service.ok))
                .with(Tone::Plain, format!("{latency:>10} "))
                .with(Tone::Bad, format!("{row:>8}  "))
                .with(tone, service.last()),
        );
    }
    lines
}

/// `text` in at most `width` characters, with a mark where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn bar(part: usize, whole: usize) -> String {
    "█".repeat((part * BAR).div_ceil(whole.max(1)).min(BAR))
}

/// Minutes and seconds.
pub(crate) fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::event::{Failover, Killed, Ready, Up};

    fn frame(by_member: &[(&str, usize)]) -> Frame {
        let ids = |n: usize, at: usize| (0..n).map(|i| format!("{at}/{i}")).collect();
        Frame {
            at: Duration::from_secs(83),
            children: by_member.iter().map(|(_, children)| children).sum(),
            by_member: by_member
                .iter()
                .enumerate()
                .map(|(at, (name, n))| ((*name).to_owned(), ids(*n, at)))
                .collect(),
            duplicates: 0,
            services: None,
        }
    }

    fn text(picture: &Picture, frame: &Frame, height: usize) -> Vec<String> {
        picture.lines(frame, height).iter().map(|line| line.render(200, false)).collect()
    }

    fn failover(ms: u64) -> Event {
        Event::Failover(Failover {
            member: "pogo-1".to_owned(),
            children: 2,
            detected: Some(Millis(Duration::from_millis(1))),
            all_running: Some(Millis(Duration::from_millis(ms))),
            longest_gap: Millis::default(),
            lost: 0,
            duplicates: 0,
        })
    }

    #[test]
    fn table_follows_a_member_through_crash_and_return() {
        let members = ["pogo-1", "pogo-2"].map(str::to_owned);
        let mut picture = Picture::new("memory://demo".to_owned(), members);
        let frame = frame(&[("pogo-1", 2), ("pogo-2", 4)]);
        let state = |picture: &Picture| {
            let lines = text(picture, &frame, 50);
            let line = lines.iter().find(|line| line.starts_with(" pogo-1")).unwrap().clone();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(state(&picture), ["pogo-1", "starting", "2", "████████"]);
        let at = Duration::from_secs(1);
        picture.observe(
            at,
            &Event::Ready(Ready {
                backend: "memory".to_owned(),
                nodes: 2,
                services: 1,
                children: 6,
                all_running: Millis::default(),
            }),
        );
        assert_eq!(state(&picture)[1], "up");
        picture.observe(at, &Event::Killed(Killed { member: "pogo-1".to_owned(), children: 2 }));
        assert_eq!(state(&picture)[1], "killed");
        picture.observe(at, &failover(3));
        assert_eq!(state(&picture)[1], "starting");
        picture.observe(
            at,
            &Event::Up(Up {
                member: "pogo-1".to_owned(),
                after: Millis::default(),
                seat: Some(Seat { pid: 4711, http: ([127, 0, 0, 1], 7900).into() }),
            }),
        );
        assert_eq!(
            state(&picture),
            ["pogo-1", "up", "2", "████████", "4711", "http://127.0.0.1:7900"]
        );
        let all = text(&picture, &frame, 50).join("\n");
        assert!(
            all.contains("01:23") && all.contains("6 of 6 running") && all.contains("1 killed"),
            "{all}"
        );
        assert!(all.contains("failover 3 ms (median), 3 ms (longest)"), "{all}");
    }

    #[test]
    fn oldest_news_go_first_where_the_screen_is_low() {
        let mut picture = Picture::new(String::new(), ["pogo-1".to_owned()]);
        for at in 1..=60 {
            picture.observe(Duration::from_secs(at), &failover(at));
        }
        let frame = frame(&[("pogo-1", 1)]);
        let lines = text(&picture, &frame, 12);
        assert_eq!(lines.len(), 12);
        assert!(lines.iter().any(|line| line.contains("running again in 60 ms")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("running again in 1 ms")), "{lines:?}");
    }
}
