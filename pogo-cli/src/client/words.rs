//! What things are called for people.

use pogo::{ChildInfo, Exclusion, MemberView, Status};

/// What a child does.
pub(super) fn status(status: &Status) -> String {
    match status {
        Status::Pending { why } => format!("pending: {why}"),
        Status::Starting => "starting".to_owned(),
        Status::Running => "running".to_owned(),
        Status::Stopping => "stopping".to_owned(),
        Status::Moving { to } => format!("moving to {to}"),
        Status::Backoff { last } => format!("backoff: {last}"),
        Status::Quarantined { last } => format!("quarantined: {last}"),
        Status::Stuck => "stuck".to_owned(),
        _ => "?".to_owned(),
    }
}

/// What a member does.
pub(super) fn member_status(member: &MemberView) -> String {
    let cordoned = if member.cordoned { ", cordoned" } else { "" };
    format!("{}{cordoned}", member.status)
}

/// Why a member may not own a child.
pub(super) fn exclusion(exclusion: &Exclusion) -> String {
    match exclusion {
        Exclusion::Joining => "is joining".to_owned(),
        Exclusion::Draining => "is leaving".to_owned(),
        Exclusion::Cordoned => "is cordoned".to_owned(),
        Exclusion::Observer => "has weight 0".to_owned(),
        Exclusion::KindNotOffered => "does not offer the kind".to_owned(),
        Exclusion::LabelMissing { label, value } => format!("lacks {label}={value}"),
        _ => "?".to_owned(),
    }
}

/// The columns of a child.
pub(super) const CHILD: [&str; 5] = ["ID", "KIND", "MEMBER", "STATUS", "RESTARTS"];

/// A child in these columns.
pub(super) fn child(child: &ChildInfo) -> [String; 5] {
    [
        child.id.to_string(),
        child.kind.to_string(),
        child.member.as_ref().map(ToString::to_string).unwrap_or_default(),
        status(&child.status),
        child.restarts.to_string(),
    ]
}
