//! What paths, queries and bodies say, read with errors of our own.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, Query},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{HeaderMap, body::Body as _};
use pogo::{ChildId, MemberName};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::ApiError;

/// The largest body: a start of some 100,000 small children.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The child that a path names.
#[derive(Debug)]
pub(super) struct ChildPath(pub(super) ChildId);

/// The member that a path names.
#[derive(Debug)]
pub(super) struct MemberPath(pub(super) MemberName);

/// The parameters of a query; unknown ones are refused by those who derive it so.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for ChildPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await?;
        Ok(Self(ChildId::new(id)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(name) = Path::<String>::from_request_parts(parts, state).await?;
        Ok(Self(MemberName::new(name)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<T>::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// Reads a body of JSON within bounds of size and time.
pub(super) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ApiError> {
    // A page of another site can send a form or plain text here unasked, but not this type.
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
    {
        let error = "the body must be JSON: send it with `Content-Type: application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", error));
    }
    let too_large = || {
        let error = format!("the body is above {MAX_BODY_BYTES} bytes: send it in parts");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error)
    };
    // What says so beforehand need not be read.
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let body = timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
    let body = body.map_err(|_elapsed| {
        let error = format!("the body did not arrive within {BODY_TIMEOUT:?}");
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", error)
    })?;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large()
        } else {
            ApiError::bad_request("bad_body", format!("the body did not arrive: {error}"))
        }
    })?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| ApiError::bad_request("bad_json", error.to_string()))
}
