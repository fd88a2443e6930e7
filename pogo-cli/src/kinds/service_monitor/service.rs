//! What a monitor is told: which service, how to probe it, and how often.
//!
//! The same form is a child's arguments and an entry of a services file, so that an operator
//! reads in a listing what stands in the file. It is checked where it enters: a [`Service`] in
//! hand can be probed.

use std::{fmt, time::Duration};

use hyper::{StatusCode, Uri, http::uri::Scheme};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A service that can be probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
pub struct Service {
    name: String,
    target: Target,
    interval: Duration,
    timeout: Duration,
}

/// What a probe talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A TCP connect to `host:port`.
    Tcp(String),
    /// A GET of a URL.
    Http {
        /// The URL.
        url: Uri,
        /// The status that is good; any 2xx where it is `None`.
        expect_status: Option<StatusCode>,
    },
}

/// Settings that no service can be made of; the text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The name is empty, too long, or has a control character.
    #[error("`name` must have 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    Name,
    /// Neither target is given.
    #[error(
        "{0:?} has nothing to probe: give it `tcp = \"host:port\"` or `http = \"http://host/path\"`"
    )]
    NoTarget(String),
    /// Both targets are given.
    #[error("{0:?} has both `tcp` and `http`: make two services of it")]
    TwoTargets(String),
    /// A status is expected of a TCP connect.
    #[error("{0:?} has `expect_status`, which only `http` can answer: remove it, or use `http`")]
    StatusWithoutHttp(String),
    /// The text is no `host:port`.
    #[error(
        "{0:?} is not a TCP target: write `host:port`, as in \"db.internal:5432\" or \"[::1]:80\""
    )]
    Tcp(String),
    /// The text is no URL that is probed.
    #[error("{0:?} is not an HTTP target: write `http://host:port/path`, without user or password")]
    Http(String),
    /// TLS is not spoken.
    #[error("{0:?}: https is not probed; probe the port instead, as in `tcp = \"host:443\"`")]
    Https(String),
    /// No such status exists.
    #[error("{0} is not an HTTP status: write a number from 100 to 599")]
    Status(u16),
}

/// Between two probes where nothing is said.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest probe where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Leaves room for the kind and a number within a child id.
const MAX_NAME_BYTES: usize = 200;

impl Service {
    /// A service with the usual interval and time-out.
    ///
    /// # Errors
    /// [`ServiceError::Name`].
    pub fn new(name: impl Into<String>, target: Target) -> Result<Self, ServiceError> {
        let name = name.into();
        check_name(&name)?;
        Ok(Self { name, target, interval: INTERVAL, timeout: TIMEOUT })
    }

    /// Sets the time from one probe to the next; at least a millisecond.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets how long a probe may take; at least a millisecond.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a probe talks to.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The time from one probe to the next.
    pub const fn probe_interval(&self) -> Duration {
        self.interval
    }

    /// How long a probe may take.
    pub const fn probe_timeout(&self) -> Duration {
        self.timeout
    }
}

impl Target {
    /// Checks `host:port`.
    ///
    /// # Errors
    /// [`ServiceError::Tcp`].
    pub fn tcp(text: &str) -> Result<Self, ServiceError> {
        let wrong = || ServiceError::Tcp(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && !host.contains([':', '/', ' ']);
        match port.parse::<u16>() {
            Ok(1..) if bracketed || named => Ok(Self::Tcp(text.to_owned())),
            _ => Err(wrong()),
        }
    }

    /// Checks a URL.
    ///
    /// # Errors
    /// [`ServiceError::Http`], [`ServiceError::Https`].
    pub fn http(text: &str, expect_status: Option<StatusCode>) -> Result<Self, ServiceError> {
        let wrong = || ServiceError::Http(text.to_owned());
        // A password must not travel in a child's arguments, where every operator reads it.
        if text.contains('@') {
            return Err(ServiceError::Http("http://..@..".to_owned()));
        }
        let Ok(url) = text.parse::<Uri>() else { return Err(wrong()) };
        match (url.scheme(), url.host()) {
            (Some(scheme), Some(_)) if *scheme == Scheme::HTTP => {
                Ok(Self::Http { url, expect_status })
            }
            (Some(scheme), _) if *scheme == Scheme::HTTPS => {
                Err(ServiceError::Https(text.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { url, .. } => write!(f, "{url}"),
        }
    }
}

/// A service as it is written down. Each value is checked where it stands, so that the error of a
/// file points at it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(default, deserialize_with = "tcp", skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(default, deserialize_with = "http", skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    #[serde(default, deserialize_with = "status", skip_serializing_if = "Option::is_none")]
    expect_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Period>,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_name(&name).map_err(de::Error::custom)?;
    Ok(name)
}

fn tcp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Target::tcp(&text).map_err(de::Error::custom)?;
    Ok(Some(text))
}

fn http<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Target::http(&text, None).map_err(de::Error::custom)?;
    Ok(Some(text))
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let code = u16::deserialize(deserializer)?;
    check_status(code).map_err(de::Error::custom)?;
    Ok(Some(code))
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(ServiceError::Name);
    }
    Ok(())
}

fn check_status(code: u16) -> Result<StatusCode, ServiceError> {
    match StatusCode::from_u16(code) {
        Ok(status) if code < 600 => Ok(status),
        _ => Err(ServiceError::Status(code)),
    }
}

impl TryFrom<Settings> for Service {
    type Error = ServiceError;
    fn try_from(settings: Settings) -> Result<Self, ServiceError> {
        let Settings { name, tcp, http, expect_status, interval, timeout } = settings;
        let expect_status = expect_status.map(check_status).transpose()?;
        let target = match (tcp, http) {
            (Some(_), Some(_)) => return Err(ServiceError::TwoTargets(name)),
            (None, None) => return Err(ServiceError::NoTarget(name)),
            (Some(_), None) if expect_status.is_some() => {
                return Err(ServiceError::StatusWithoutHttp(name));
            }
            (Some(tcp), None) => Target::tcp(&tcp)?,
            (None, Some(http)) => Target::http(&http, expect_status)?,
        };
        let service = Self::new(name, target)?;
        let interval = interval.map_or(service.interval, |period| period.0);
        let timeout = timeout.map_or(service.timeout, |period| period.0);
        Ok(service.interval(interval).timeout(timeout))
    }
}

impl From<Service> for Settings {
    fn from(service: Service) -> Self {
        let (tcp, http, expect_status) = match service.target {
            Target::Tcp(address) => (Some(address), None, None),
            Target::Http { url, expect_status } => {
                (None, Some(url.to_string()), expect_status.map(|status| status.as_u16()))
            }
        };
        Self {
            name: service.name,
            tcp,
            http,
            expect_status,
            interval: Some(Period(service.interval)),
            timeout: Some(Period(service.timeout)),
        }
    }
}

/// A duration above zero, written as people do.
#[derive(Debug, Clone, Copy)]
struct Period(Duration);

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PeriodVisitor)
    }
}

struct PeriodVisitor;

impl de::Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(r#"a duration in quotes, as in "500ms", "5s" or "2m""#)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Period, E> {
        match humantime::parse_duration(v) {
            Ok(Duration::ZERO) => Err(E::custom(format_args!(
                "{v:?} is no time at all: write a duration above zero, as in \"5s\""
            ))),
            Ok(duration) => Ok(Period(duration)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Str(v), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<Service, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    #[test]
    fn service_survives_its_json_form() {
        let web = json!({"name": "web", "http": "http://a:8080/x", "expect_status": 204, "interval": "1s 500ms", "timeout": "20ms"});
        let service = read(web.clone()).unwrap();
        assert_eq!(service.probe_interval(), Duration::from_millis(1500));
        assert_eq!(serde_json::to_value(&service).unwrap(), web);
        assert_eq!(read(serde_json::to_value(&service).unwrap()).unwrap(), service);
        let tcp = read(json!({"name": "db", "tcp": "[::1]:5432"})).unwrap();
        assert_eq!(tcp.target(), &Target::Tcp("[::1]:5432".to_owned()));
        assert_eq!(read(serde_json::to_value(&tcp).unwrap()).unwrap(), tcp);
    }

    #[test]
    fn settings_that_cannot_be_probed_are_refused() {
        for target in ["db", "db:", "db:0", "db:70000", ":80", "::1:80", "http://a:80", "a b:80"] {
            assert_eq!(Target::tcp(target), Err(ServiceError::Tcp(target.to_owned())));
        }
        for url in ["", "web", "/x", "ftp://a/", "http://"] {
            assert_eq!(Target::http(url, None), Err(ServiceError::Http(url.to_owned())));
        }
        assert!(matches!(Target::http("https://a/", None), Err(ServiceError::Https(_))));
        for name in [String::new(), "a\nb".to_owned(), "x".repeat(201)] {
            let target = Target::tcp("a:1").unwrap();
            assert_eq!(Service::new(name, target), Err(ServiceError::Name));
        }
        let error =
            read(json!({"name": "a", "http": "http://a", "expect_status": 20})).unwrap_err();
        assert!(error.contains("20 is not an HTTP status"), "{error}");
        let error = read(json!({"name": "a", "tcp": "a:1", "expect_status": 200})).unwrap_err();
        assert!(error.contains("which only `http` can answer"), "{error}");
    }

    #[test]
    fn password_in_a_url_is_refused_and_not_repeated() {
        let error = Target::http("http://me:secret@a/", None).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
