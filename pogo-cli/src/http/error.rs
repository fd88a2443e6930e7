//! What is answered where a request cannot be done.

use axum::{
    Json,
    extract::rejection::{PathRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use pogo::{ChildInfo, IdError, RequestError, StartChildError, Stopped};
use serde::Serialize;

/// A refusal, with the status that fits.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// For people: what is wrong, and what to do.
    pub(super) error: String,
    /// For programs.
    pub(super) code: &'static str,
    /// The child that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) child: Option<Box<ChildInfo>>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), code, child: None }
    }

    pub(super) fn bad_request(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    pub(super) fn method() -> Self {
        let error = "this path does not take that method: / lists what there is";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", error)
    }

    pub(super) fn not_ready(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", error)
    }

    pub(super) fn joining() -> Self {
        Self::not_ready("the member has not joined its cluster yet: try again in a moment")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", stopped.to_string())
    }
}

impl From<IdError> for ApiError {
    fn from(error: IdError) -> Self {
        Self::bad_request("bad_id", error.to_string())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request("bad_path", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("bad_query", rejection.body_text())
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let (status, code) = match &error {
            RequestError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            // It may have been done.
            RequestError::Unknown { .. } => (StatusCode::GATEWAY_TIMEOUT, "unknown_outcome"),
            RequestError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
            RequestError::UnknownMember { .. } => (StatusCode::NOT_FOUND, "unknown_member"),
            RequestError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<StartChildError> for ApiError {
    fn from(error: StartChildError) -> Self {
        let text = error.to_string();
        match error {
            StartChildError::Spec(_) => Self::bad_request("bad_spec", text),
            StartChildError::Args { .. } => Self::bad_request("bad_args", text),
            StartChildError::Duplicate { .. } => Self::bad_request("duplicate", text),
            StartChildError::Unsupported { .. } => Self::bad_request("unsupported", text),
            StartChildError::Conflict { id, present } => {
                let text = format!(
                    "{id:?} is present with another spec: replace it, or terminate it first"
                );
                let mut error = Self::new(StatusCode::CONFLICT, "conflict", text);
                error.child = Some(present);
                error
            }
            StartChildError::NotFound { .. } => Self::not_found(text),
            StartChildError::RefusedTogether { .. } => {
                Self::new(StatusCode::CONFLICT, "refused_together", text)
            }
            StartChildError::Request(error) => error.into(),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", text),
        }
    }
}
