//! Commands about children.

use std::{fs, io, path::Path, time::Duration};

use bytes::Bytes;
use hyper::Method;
use pogo::{Args, ChildId, ChildInfo, ChildSpec, Explanation, Kind, Shutdown, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Answered, Asking, ClientError, SpecArgs, StartArgs,
    connection::segment,
    members::LOOK_EVERY,
    table::{printable, table},
    words,
};

pub(super) async fn list(asking: &Asking, local: bool) -> Result<Answered, ClientError> {
    let path = if local { "/v1/children?listing=local" } else { "/v1/children" };
    let children: Vec<ChildInfo> = asking.agent.ask(Method::GET, path, None).await?;
    asking.show(&children, |children| {
        let rows: Vec<_> = children.iter().map(words::child).collect();
        table(words::CHILD, &rows)
    })?;
    Ok(Answered::Done)
}

pub(super) async fn lookup(asking: &Asking, id: &str) -> Result<Answered, ClientError> {
    let child = find(asking, id).await?;
    asking.show(&child, |child| table(words::CHILD, &[words::child(child)]))?;
    Ok(Answered::Done)
}

async fn find(asking: &Asking, id: &str) -> Result<ChildInfo, ClientError> {
    asking.agent.ask(Method::GET, &path_of(id)?, None).await
}

/// A child's path; what cannot be an id is refused here, where it can be told apart from a path.
fn path_of(id: &str) -> Result<String, ClientError> {
    let id = ChildId::new(id)?;
    Ok(format!("/v1/children/{}", segment(id.as_str())))
}

/// What became of one request for a child.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    id: Value,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<ChildInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl Outcome {
    fn id(&self) -> String {
        self.id.as_str().map_or_else(|| self.id.to_string(), str::to_owned)
    }

    fn in_words(&self) -> String {
        let result = match self.result.as_str() {
            "already_present" => "is present already",
            "refused" => "was refused",
            _ => "was accepted",
        };
        let reason = self.error.as_ref().map(|error| format!(": {}", printable(error)));
        format!("{} {result}{}\n", printable(&self.id()), reason.unwrap_or_default())
    }
}

pub(super) async fn start(asking: &Asking, start: &StartArgs) -> Result<Answered, ClientError> {
    let specs = match (&start.file, &start.id, &start.kind) {
        (Some(path), _, _) => read_specs(path)?,
        (None, Some(id), Some(kind)) => to_json(&[spec(id, kind, &start.spec)?])?,
        // The flags are such that one of these is there.
        (None, _, _) => return Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
    };
    let path = format!("/v1/children?all_or_nothing={}", start.all_or_nothing);
    let outcomes: Vec<Outcome> = asking.agent.ask_for_each(&path, specs).await?;
    let refused = outcomes.iter().any(|outcome| outcome.result == "refused");
    let wait = start.wait.filter(|_| !refused);
    let Some(wait) = wait else {
        asking.show(&outcomes, |outcomes| outcomes.iter().map(Outcome::in_words).collect())?;
        return Ok(if refused { Answered::Refused } else { Answered::Done });
    };
    let until = Instant::now() + wait;
    let mut children = Vec::new();
    for outcome in &outcomes {
        children.push(wait_until_running(asking, &outcome.id(), wait, until).await?);
    }
    asking.show(&children, |children| {
        let rows: Vec<_> = children.iter().map(words::child).collect();
        table(words::CHILD, &rows)
    })?;
    Ok(Answered::Done)
}

pub(super) async fn replace(
    asking: &Asking,
    id: &str,
    kind: &str,
    args: &SpecArgs,
) -> Result<Answered, ClientError> {
    let body = to_json(&spec(id, kind, args)?)?;
    let path = format!("{}?replace=existing", path_of(id)?);
    let outcome: Outcome = asking.agent.ask(Method::PUT, &path, Some(body)).await?;
    asking.show(&outcome, Outcome::in_words)?;
    Ok(Answered::Done)
}

fn spec(id: &str, kind: &str, args: &SpecArgs) -> Result<ChildSpec, ClientError> {
    let value: Value = serde_json::from_str(&args.args).map_err(ClientError::Args)?;
    let mut spec =
        ChildSpec::of_kind(ChildId::new(id)?, Kind::new(kind)?, Args::from_value(&value))
            .restart(args.restart.into());
    if let Some(grace) = args.grace {
        spec = spec.shutdown(if grace.is_zero() {
            Shutdown::Immediate
        } else {
            Shutdown::Grace(grace)
        });
    }
    for (label, value) in &args.labels {
        spec = spec.label(label, value);
    }
    for (label, value) in &args.require {
        spec = spec.require(label, value);
    }
    spec.validate()?;
    Ok(spec)
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, ClientError> {
    Ok(serde_json::to_vec(value).map_err(io::Error::from)?.into())
}

/// The specs of a file; they are checked where they arrive.
fn read_specs(path: &Path) -> Result<Bytes, ClientError> {
    let fail = |reason: String| ClientError::File { path: path.to_owned(), reason };
    let text = if path == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|error| fail(error.to_string()))?;
    let specs: Vec<Value> = serde_json::from_str(&text)
        .map_err(|error| fail(format!("not an array of specs as JSON: {error}")))?;
    to_json(&specs)
}

async fn wait_until_running(
    asking: &Asking,
    id: &str,
    wait: Duration,
    until: Instant,
) -> Result<ChildInfo, ClientError> {
    loop {
        let child = match find(asking, id).await {
            Ok(child) => Some(child),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error),
        };
        let status = child.as_ref().map(|child| words::status(&child.status));
        if let Some(child) = child.filter(|child| child.status == Status::Running) {
            return Ok(child);
        }
        if Instant::now() >= until {
            let status = status.unwrap_or_else(|| "not present".to_owned());
            let text = format!("{id} does not run after {wait:?}, it is {}", printable(&status));
            return Err(ClientError::TooLate(text));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { code, .. } if code == "not_found")
}

pub(super) async fn stop(
    asking: &Asking,
    id: &str,
    wait: Option<Duration>,
) -> Result<Answered, ClientError> {
    let outcome: Outcome = asking.agent.ask(Method::DELETE, &path_of(id)?, None).await?;
    if let Some(wait) = wait {
        wait_until_gone(asking, id, wait).await?;
    }
    asking.show(&outcome, |_| {
        let how = if wait.is_some() { "is gone" } else { "will stop" };
        format!("{} {how}\n", printable(id))
    })?;
    Ok(Answered::Done)
}

async fn wait_until_gone(asking: &Asking, id: &str, wait: Duration) -> Result<(), ClientError> {
    let until = Instant::now() + wait;
    loop {
        match find(asking, id).await {
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(child) if Instant::now() >= until => {
                let status = printable(&words::status(&child.status));
                let text = format!("{id} is not gone after {wait:?}, it is {status}");
                return Err(ClientError::TooLate(text));
            }
            Ok(_) => sleep(LOOK_EVERY).await,
        }
    }
}

pub(super) async fn restart(asking: &Asking, id: &str) -> Result<Answered, ClientError> {
    let path = format!("{}/restart", path_of(id)?);
    let outcome: Outcome = asking.agent.ask(Method::POST, &path, None).await?;
    asking.show(&outcome, |_| format!("{} will start again\n", printable(id)))?;
    Ok(Answered::Done)
}

pub(super) async fn explain(asking: &Asking, id: &str) -> Result<Answered, ClientError> {
    let path = format!("{}/explain", path_of(id)?);
    let explanation: Explanation = asking.agent.ask(Method::GET, &path, None).await?;
    asking.show(&explanation, in_words)?;
    Ok(Answered::Done)
}

fn in_words(explanation: &Explanation) -> String {
    let mut text = table(words::CHILD, &[words::child(&explanation.child)]);
    let mut tell = |head: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.extend(["\n", head, "\n"]);
        }
        for line in &lines {
            text.extend(["  ", &printable(line), "\n"]);
        }
    };
    let order = explanation.order.iter().enumerate();
    let order = order.map(|(at, member)| format!("{}. {member}", at + 1)).collect();
    tell("placement prefers, in this order", order);
    let excluded = explanation.excluded.iter();
    let excluded = excluded.map(|(member, why)| format!("{member} {}", words::exclusion(why)));
    tell("not eligible", excluded.collect());
    let reports = explanation.reports.iter();
    tell("reported by", reports.map(|(member, phase)| format!("{member}: {phase}")).collect());
    tell("what happened to it on the member that was asked", explanation.history.clone());
    text
}
