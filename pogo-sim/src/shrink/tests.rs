use std::cell::Cell;

use pogo_core::id::ChildId;

use super::*;

const LAW: &str = "S0 a law of this test";

fn breaks(child: Option<&str>, what: &str) -> Violation {
    let child = child.map(|name| ChildId::new(name).unwrap());
    Violation { law: LAW, child, what: what.to_owned() }
}

fn plan(text: &str) -> Plan {
    text.parse().unwrap()
}

fn never() -> impl FnMut() -> bool {
    || false
}

/// A busy plan in which a crash while `c7` runs is what matters.
fn busy() -> Plan {
    let mut lines: Vec<String> =
        ["seed 4", "set latency=40ms", "set lost-replies=20", "set settle=90000ms"]
            .map(str::to_owned)
            .into();
    lines.extend((0..6).map(|member| format!("{} boot m{member}", 100 * member)));
    let behaviour = "start=400ms stop=ignore value=3";
    lines.push(format!("2000 start m1 c0,c1,c2,c3,c4,c5,c6,c7,c8,c9 {behaviour}"));
    lines.extend((0..20).map(|op| format!("{} terminate m2 c{}", 2_100 + 10 * op, op % 7)));
    lines.extend(["5000 crash m3 silent", "9000 cut m0,m1|m2,m3", "9500 heal"].map(str::to_owned));
    plan(&lines.join("\n"))
}

fn has(plan: &Plan, words: &[&str]) -> bool {
    let text = plan.to_string();
    text.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn only_what_a_failure_needs_is_left() {
    let plan = busy();
    let violation = breaks(Some("c7"), "2 instances");
    let fails = |plan: &Plan| {
        let at = |words| plan.to_string().lines().position(|line| has(&self::plan(line), words));
        match (at(&["start ", "c7"]), at(&["crash m3"])) {
            (Some(start), Some(crash)) if start < crash => Some(breaks(Some("c7"), "3 instances")),
            _ => None,
        }
    };
    let small = shrink(&plan, &violation, &mut { fails }, &mut never());
    let draft = Draft::new(&small);
    let lines: Vec<String> = draft.lines.iter().map(|line| line.words.join(" ")).collect();
    // The text form always says how a child stops and starts.
    assert_eq!(lines.len(), 2, "{small}");
    assert!(lines[0].starts_with("start m0 c7") || lines[0].starts_with("start m1 c7"), "{small}");
    assert!(lines[1].starts_with("crash m3"), "{small}");
    assert!(!lines[0].contains("value") && !lines[0].contains("ignore"), "{small}");
    assert_eq!(draft.options, [""; 0], "{small}");
    assert!(draft.lines.iter().all(|line| line.at == 0), "{small}");
    assert!(has(&small, &["set settle=90000ms"]), "the harness keeps its time: {small}");
}

#[test]
fn plan_that_breaks_another_law_or_another_subject_is_not_the_same() {
    let start = "1 boot m0\n2 start m0 c1 start=20ms stop=5ms\n";
    let plan = plan(&format!("seed 1\n{start}3 terminate m0 c1\n"));
    let violation = breaks(Some("c1"), "it runs on m0");
    for other in [
        Violation { law: "S0 another law", ..violation.clone() },
        breaks(None, "it runs on m0"),
        breaks(Some("c2"), "it runs on m0"),
        breaks(Some("c1"), "nobody runs it"),
    ] {
        let ops = plan.ops.len();
        let mut run = |smaller: &Plan| {
            Some(if smaller.ops.len() < ops { other.clone() } else { violation.clone() })
        };
        let small = shrink(&plan, &violation, &mut run, &mut never());
        assert_eq!(small.ops.len(), ops, "{other:?}: {small}");
    }
}

/// A law about removed children is not broken by removing what never was.
#[test]
fn subject_that_was_asked_for_stays_asked_for() {
    let plan = busy();
    let violation = breaks(Some("c2"), "it runs on m0");
    let mut run =
        |plan: &Plan| has(plan, &["terminate", "c2"]).then(|| breaks(Some("c2"), "it runs on m1"));
    let small = shrink(&plan, &violation, &mut run, &mut never());
    assert!(has(&small, &["start ", "c2"]) && has(&small, &["terminate", "c2"]), "{small}");
    assert_eq!(small.ops.len(), 2, "{small}");
}

#[test]
fn strict_and_healthy_children_stay_so() {
    let start = "2 start m0 c1 start=20ms stop=5ms exclusivity=strict\n";
    let plan = plan(&format!("seed 1\n1 boot m0\n{start}"));
    let violation = breaks(Some("c1"), "2 instances");
    let mut run = |_: &Plan| Some(violation.clone());
    let small = shrink(&plan, &violation, &mut run, &mut never());
    assert!(has(&small, &["start ", "c1", "exclusivity=strict"]), "{small}");
}

#[test]
fn times_and_probabilities_are_halved_as_far_as_it_fails() {
    let plan = plan("seed 1\nset lost-replies=800\n4000 boot m0\n8000 drain m0 9000ms\n");
    let violation = breaks(None, "a member does not end its leave");
    let mut run = |plan: &Plan| {
        let last = plan.ops.last()?.0;
        let fails =
            plan.ops.len() == 2 && last.as_millis() >= 700 && plan.options.lost_replies > 90;
        fails.then(|| breaks(None, "a member does not end its leave"))
    };
    let small = shrink(&plan, &violation, &mut run, &mut never());
    let last = small.ops.last().unwrap().0.as_millis();
    assert!((700..1_500).contains(&last), "{small}");
    assert_eq!(small.options.lost_replies, 100, "{small}");
    assert!(has(&small, &["drain m0 0ms"]), "{small}");
}

#[test]
fn work_ends_when_its_time_is_over() {
    let plan = busy();
    let violation = breaks(None, "always");
    let runs = Cell::new(0);
    let mut run = |_: &Plan| {
        runs.set(runs.get() + 1);
        Some(violation.clone())
    };
    let small = shrink(&plan, &violation, &mut run, &mut || runs.get() >= 1);
    assert_eq!(runs.get(), 1);
    assert!(small.ops.len() < plan.ops.len(), "what was found by then counts");
}
