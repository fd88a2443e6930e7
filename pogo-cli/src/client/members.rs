//! Commands about members.

use std::time::Duration;

use hyper::{Method, StatusCode};
use pogo::{LeavePlan, MemberView};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    Answered, Asking, ClientError,
    connection::segment,
    table::{printable, table},
    words,
};

/// Between two looks at what is waited for.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn list(asking: &Asking) -> Result<Answered, ClientError> {
    let members: Vec<MemberView> = asking.agent.ask(Method::GET, "/v1/members", None).await?;
    asking.show(&members, |members| {
        let rows: Vec<_> = members.iter().map(row).collect();
        table(["MEMBER", "STATUS", "WEIGHT", "KINDS", "LABELS", "VERSION"], &rows)
    })?;
    Ok(Answered::Done)
}

fn row(member: &MemberView) -> [String; 6] {
    let kinds: Vec<_> = member.kinds.iter().map(ToString::to_string).collect();
    let labels: Vec<_> = member.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    [
        format!("{}{}", member.id.name, if member.is_me { " (asked)" } else { "" }),
        words::member_status(member),
        member.weight.to_string(),
        kinds.join(","),
        labels.join(","),
        member.version.clone(),
    ]
}

/// What was done to a member.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    member: String,
    result: String,
    #[serde(flatten)]
    children: Option<Drained>,
}

/// What a drain came to.
#[derive(Debug, Serialize, Deserialize)]
struct Drained {
    moved: Vec<String>,
    stopped: Vec<String>,
    left_behind: Vec<String>,
}

pub(super) async fn cordon(
    asking: &Asking,
    member: &str,
    what: &str,
) -> Result<Answered, ClientError> {
    let path = format!("/v1/members/{}/{what}", segment(member));
    let done: Done = asking.agent.ask(Method::POST, &path, None).await?;
    asking.show(&done, |done| format!("{} is {}\n", printable(&done.member), done.result))?;
    Ok(Answered::Done)
}

pub(super) async fn drain(
    asking: &Asking,
    member: &str,
    within: Option<Duration>,
    wait: Option<Duration>,
) -> Result<Answered, ClientError> {
    let query = within.map(|within| format!("?within={}ms", within.as_millis()));
    let path = format!("/v1/members/{}/drain{}", segment(member), query.unwrap_or_default());
    // Children have their own time to stop after that to move.
    let patience = within.unwrap_or_default().saturating_add(Duration::from_secs(180));
    let (status, done): (_, Done) =
        asking.agent.ask_within(patience, Method::POST, &path, None).await?;
    if status == StatusCode::ACCEPTED
        && let Some(wait) = wait
    {
        wait_until_gone(asking, member, wait).await?;
    }
    asking.show(&done, |done| in_words(done, wait.is_some()))?;
    let left_behind = done.children.is_some_and(|children| !children.left_behind.is_empty());
    Ok(if left_behind { Answered::LeftChildrenBehind } else { Answered::Done })
}

fn in_words(done: &Done, waited: bool) -> String {
    let member = printable(&done.member);
    let Some(children) = &done.children else {
        let how = if waited { "has drained and left" } else { "was told to drain" };
        return format!("{member} {how}\n");
    };
    let mut text = format!("{member} has drained and left\n");
    for (what, children) in [
        ("moved", &children.moved),
        ("stopped, as nobody else may run them", &children.stopped),
        ("left behind, as nobody took them up in time", &children.left_behind),
    ] {
        text.extend([&format!("{:>7} ", children.len()), what, "\n"]);
    }
    for id in &children.left_behind {
        text.extend(["        ", &printable(id), "\n"]);
    }
    text
}

async fn wait_until_gone(asking: &Asking, member: &str, wait: Duration) -> Result<(), ClientError> {
    let since = Instant::now();
    loop {
        let members: Vec<MemberView> = asking.agent.ask(Method::GET, "/v1/members", None).await?;
        if members.iter().all(|other| other.id.name.as_str() != member) {
            return Ok(());
        }
        if since.elapsed() >= wait {
            let text = format!("{member} has not left after {wait:?}: its drain goes on");
            return Err(ClientError::TooLate(text));
        }
        sleep(LOOK_EVERY).await;
    }
}

pub(super) async fn plan(asking: &Asking, member: &str) -> Result<Answered, ClientError> {
    let path = format!("/v1/members/{}/plan-leave", segment(member));
    let plan: LeavePlan = asking.agent.ask(Method::GET, &path, None).await?;
    asking.show(&plan, |plan| {
        let to = |(id, member): &(_, _)| [ToString::to_string(id), ToString::to_string(member)];
        let mut rows: Vec<[String; 2]> = plan.moves.iter().map(to).collect();
        let nobody = |id: &pogo::ChildId| [id.to_string(), "(nobody may run it)".to_owned()];
        rows.extend(plan.unplaceable.iter().map(nobody));
        table(["CHILD", "WOULD GO TO"], &rows)
    })?;
    Ok(Answered::Done)
}
