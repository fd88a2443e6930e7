//! The matrix of phases and inputs: in which phase a node had a child when it took an input about
//! that child.

use pogo_core::{
    id::ChildId,
    node::{ExitReason, Input, Inspect, Request, Status},
};

/// What a node may say of a child.
pub(super) const PHASES: &[&str] = &[
    ABSENT,
    "pending",
    "starting",
    "running",
    "stopping",
    "moving",
    "backoff",
    "quarantined",
    "stuck",
    "elsewhere",
];

const ABSENT: &str = "absent";

/// The inputs that are about one child.
pub(super) const INPUTS: &[&str] = &[
    "start",
    "terminate",
    "restart",
    "ready",
    "ends",
    "fails",
    "panics",
    "is aborted",
    "cannot start",
    "is stuck",
];

/// The cells that an input falls into: one for each child that it is about.
pub(super) fn of_input(inspect: Inspect<'_>, input: &Input) -> Vec<(&'static str, &'static str)> {
    let cell = |child: &ChildId, input| (phase(inspect, child), input);
    match input {
        Input::Client(_, Request::Start { specs, .. }) => {
            specs.iter().map(|spec| cell(&spec.id, "start")).collect()
        }
        Input::Client(_, Request::Terminate(child)) => vec![cell(child, "terminate")],
        Input::Client(_, Request::Restart(child)) => vec![cell(child, "restart")],
        Input::ChildReady { child, .. } => vec![cell(child, "ready")],
        Input::ChildStuck { child, .. } => vec![cell(child, "is stuck")],
        Input::ChildExited { child, end, .. } => vec![cell(child, exit(&end.reason))],
        _ => Vec::new(),
    }
}

const fn exit(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "ends",
        ExitReason::Panicked(_) => "panics",
        ExitReason::Aborted => "is aborted",
        ExitReason::Unstartable(_) => "cannot start",
        _ => "fails",
    }
}

fn phase(inspect: Inspect<'_>, child: &ChildId) -> &'static str {
    let Some(info) = inspect.child(child) else { return ABSENT };
    let is_here = match (&info.member, inspect.me()) {
        (Some(member), Some(me)) => *member == me.name,
        (member, _) => member.is_none(),
    };
    match info.status {
        _ if !is_here => "elsewhere",
        Status::Pending { .. } => "pending",
        Status::Starting => "starting",
        Status::Running => "running",
        Status::Stopping => "stopping",
        Status::Moving { .. } => "moving",
        Status::Backoff { .. } => "backoff",
        Status::Quarantined { .. } => "quarantined",
        _ => "stuck",
    }
}
