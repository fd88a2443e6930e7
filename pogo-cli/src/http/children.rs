//! `/v1/children`.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use pogo::{
    Batch, ChildId, ChildInfo, ChildSpec, Explanation, Listing, StartChildError, Started, Status,
    Terminated,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Api,
    error::ApiError,
    path::{Asked, ChildPath, read_json},
};
use crate::clock::monotonic;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default = "global")]
    listing: Listing,
}

const fn global() -> Listing {
    Listing::Global
}

pub(super) async fn list(
    State(api): State<Api>,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Vec<ChildInfo>>, ApiError> {
    Ok(Json(api.supervisor()?.which_children(query.listing).await?))
}

/// How many children there are, for those who measure: counting here spares them a long list.
#[derive(Debug, Serialize)]
pub(super) struct Count {
    children: usize,
    running: usize,
    /// How long listing them took.
    list_ms: f64,
    /// When they had been listed, on the machine's monotonic clock.
    at_ns: u64,
}

pub(super) async fn count(State(api): State<Api>) -> Result<Json<Count>, ApiError> {
    let asked_at = monotonic();
    let children = api.supervisor()?.which_children(Listing::Global).await?;
    let at = monotonic();
    Ok(Json(Count {
        children: children.len(),
        running: children.iter().filter(|child| child.status == Status::Running).count(),
        list_ms: at.saturating_sub(asked_at).as_secs_f64() * 1_000.0,
        at_ns: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
    }))
}

pub(super) async fn one(
    State(api): State<Api>,
    ChildPath(id): ChildPath,
) -> Result<Json<ChildInfo>, ApiError> {
    api.supervisor()?.lookup(&id).await?.map(Json).ok_or_else(|| absent(&id))
}

pub(super) async fn explain(
    State(api): State<Api>,
    ChildPath(id): ChildPath,
) -> Result<Json<Explanation>, ApiError> {
    api.supervisor()?.explain(&id).await?.map(Json).ok_or_else(|| absent(&id))
}

fn absent(id: &ChildId) -> ApiError {
    ApiError::not_found(format!("{id:?} is not present"))
}

/// What became of one request for a child.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// As it was given; null where there was none.
    id: Value,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<Box<ChildInfo>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    refusal: Option<ApiError>,
}

impl Outcome {
    fn of(id: Value, result: Result<Started, ApiError>) -> Self {
        let (result, child, refusal) = match result {
            Ok(Started::AlreadyPresent(child)) => ("already_present", Some(Box::new(child)), None),
            Ok(_) => ("accepted", None, None),
            Err(refusal) => ("refused", None, Some(refusal)),
        };
        Self { id, result, child, refusal }
    }

    fn done(id: &ChildId, result: &'static str) -> Self {
        Self { id: id.as_str().into(), result, child: None, refusal: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartQuery {
    #[serde(default)]
    all_or_nothing: bool,
}

/// One outcome per spec, in order. The status is 200 where none was refused, that of the first
/// refusal where nothing was started, and 207 where some were.
pub(super) async fn start(
    State(api): State<Api>,
    Asked(query): Asked<StartQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let supervisor = api.supervisor()?;
    let specs: Vec<Value> = read_json(&headers, body).await?;
    let ids: Vec<Value> = specs.iter().map(|spec| spec["id"].clone()).collect();
    let mut specs: Vec<_> = specs.into_iter().map(read_spec).collect();
    if query.all_or_nothing {
        refuse_with_the_first(&mut specs);
    }
    let good: Vec<_> = specs.iter().filter_map(|spec| spec.as_ref().ok()).cloned().collect();
    let batch = if query.all_or_nothing { Batch::AllOrNothing } else { Batch::EachAlone };
    let mut started = supervisor.start_children(good, batch).await.into_iter();
    let outcomes: Vec<_> = specs
        .into_iter()
        .zip(ids)
        .map(|(spec, id)| {
            let result = spec.and_then(|_| match started.next() {
                Some(result) => result.map_err(ApiError::from),
                None => Err(pogo::Stopped.into()),
            });
            Outcome::of(id, result)
        })
        .collect();
    Ok((status_of(&outcomes), Json(outcomes)).into_response())
}

fn status_of(outcomes: &[Outcome]) -> StatusCode {
    let refusal = outcomes.iter().find_map(|outcome| outcome.refusal.as_ref());
    match refusal {
        None => StatusCode::OK,
        Some(refusal) if outcomes.iter().all(|it| it.refusal.is_some()) => refusal.status,
        Some(_) => StatusCode::MULTI_STATUS,
    }
}

fn read_spec(spec: Value) -> Result<ChildSpec, ApiError> {
    serde_json::from_value(spec)
        .map_err(|error| ApiError::bad_request("bad_spec", error.to_string()))
}

/// One spec that cannot be read refuses all.
fn refuse_with_the_first(specs: &mut [Result<ChildSpec, ApiError>]) {
    let first = specs.iter().find_map(|spec| spec.as_ref().err());
    let Some(reason) = first.map(|refusal| refusal.error.clone()) else { return };
    for spec in specs.iter_mut().filter(|spec| spec.is_ok()) {
        let error = StartChildError::RefusedTogether { reason: reason.clone() };
        *spec = Err(error.into());
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutQuery {
    #[serde(default)]
    replace: Replace,
}

/// What a `PUT` does to a child that is present with another spec.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Replace {
    /// It stays, and the request is refused.
    #[default]
    False,
    /// It is replaced.
    True,
    /// It is replaced, and must be present.
    Existing,
}

pub(super) async fn put(
    State(api): State<Api>,
    ChildPath(id): ChildPath,
    Asked(query): Asked<PutQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Outcome>, ApiError> {
    let supervisor = api.supervisor()?;
    let mut spec: Map<String, Value> = read_json(&headers, body).await?;
    let named = spec.insert("id".to_owned(), id.as_str().into());
    if named.is_some_and(|named| named != id.as_str()) {
        let error = "the id in the body is another than that in the path: leave it out";
        return Err(ApiError::bad_request("bad_spec", error));
    }
    let spec = read_spec(Value::Object(spec))?;
    let started = match query.replace {
        Replace::False => supervisor.start_child(spec).await?,
        Replace::True => supervisor.start_or_replace(spec).await?,
        Replace::Existing => supervisor.replace_child(spec).await?,
    };
    Ok(Json(Outcome::of(id.as_str().into(), Ok(started))))
}

pub(super) async fn terminate(
    State(api): State<Api>,
    ChildPath(id): ChildPath,
) -> Result<Json<Outcome>, ApiError> {
    if api.supervisor()?.terminate_child(&id).await? == Terminated::NotFound {
        return Err(absent(&id));
    }
    Ok(Json(Outcome::done(&id, "accepted")))
}

pub(super) async fn restart(
    State(api): State<Api>,
    ChildPath(id): ChildPath,
) -> Result<Json<Outcome>, ApiError> {
    if api.supervisor()?.restart_child(&id).await? {
        Ok(Json(Outcome::done(&id, "accepted")))
    } else {
        Err(absent(&id))
    }
}
