//! `/v1/members`.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use pogo::{ChildId, DrainOutcome, LeavePlan, MemberView};
use serde::{Deserialize, Serialize};

use super::{
    Api,
    error::ApiError,
    path::{Asked, MemberPath},
};

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<MemberView>>, ApiError> {
    Ok(Json(api.supervisor()?.members().await?))
}

/// What was done to a member.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    member: String,
    result: &'static str,
    #[serde(flatten)]
    children: Option<Drained>,
}

/// What a drain that has ended came to.
#[derive(Debug, Serialize)]
struct Drained {
    moved: Vec<ChildId>,
    stopped: Vec<ChildId>,
    left_behind: Vec<ChildId>,
}

pub(super) async fn cordon(
    State(api): State<Api>,
    MemberPath(name): MemberPath,
) -> Result<Json<Done>, ApiError> {
    api.supervisor()?.cordon(&name).await?;
    Ok(Json(Done { member: name.to_string(), result: "cordoned", children: None }))
}

pub(super) async fn uncordon(
    State(api): State<Api>,
    MemberPath(name): MemberPath,
) -> Result<Json<Done>, ApiError> {
    api.supervisor()?.uncordon(&name).await?;
    Ok(Json(Done { member: name.to_string(), result: "uncordoned", children: None }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainQuery {
    within: Option<String>,
}

pub(super) async fn drain(
    State(api): State<Api>,
    MemberPath(name): MemberPath,
    Asked(query): Asked<DrainQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let within = query.within.as_deref().map_or(Ok(api.inner.drain), parse_duration)?;
    let member = name.to_string();
    let outcome = api.supervisor()?.drain(&name, within).await?;
    let DrainOutcome::Drained(drained) = outcome else {
        // It goes on over there.
        let done = Done { member, result: "asked", children: None };
        return Ok((StatusCode::ACCEPTED, Json(done)));
    };
    let children = Drained {
        moved: drained.moved,
        stopped: drained.stopped,
        left_behind: drained.left_behind,
    };
    Ok((StatusCode::OK, Json(Done { member, result: "drained", children: Some(children) })))
}

fn parse_duration(text: &str) -> Result<Duration, ApiError> {
    humantime::parse_duration(text).map_err(|error| {
        ApiError::bad_request("bad_query", format!("within: {error}; write it as in `10s`"))
    })
}

pub(super) async fn plan_leave(
    State(api): State<Api>,
    MemberPath(name): MemberPath,
) -> Result<Json<LeavePlan>, ApiError> {
    let plan = api.supervisor()?.plan_leave(&name).await?;
    plan.map(Json).ok_or_else(|| {
        let error = format!("no live member is called {name:?}");
        ApiError::new(StatusCode::NOT_FOUND, "unknown_member", error)
    })
}
