//! The services that a demo watches: those of a file, or a few that it opens itself.
//!
//! A file that cannot be used is refused whole, with the place and what to write instead: a
//! monitor that is silently missing is what nobody notices until it is needed.

mod local;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

pub use self::local::LocalServices;
use crate::kinds::service_monitor::{Service, Settings};

/// Why a services file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that cannot be used.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong, and what to write instead.
        message: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    service: Vec<Spanned<Settings>>,
}

/// Reads the services of the file at `path`.
///
/// # Errors
/// [`ServicesError`], with the first thing that is wrong.
pub fn read(path: &Path) -> Result<Vec<Service>, ServicesError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ServicesError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|(offset, message)| {
        let (line, column) = position(&text, offset);
        ServicesError::Invalid { path: path.to_owned(), line, column, message }
    })
}

/// The services of `text`, or what is wrong at which byte.
fn parse(text: &str) -> Result<Vec<Service>, (usize, String)> {
    let file: File = toml::from_str(text).map_err(|error| {
        (error.span().map_or(0, |span| span.start), error.message().replace('\n', ", "))
    })?;
    if file.service.is_empty() {
        let message = "no services: write `[[service]]`, `name = \"web\"` and `http = \"http://..\"` or `tcp = \"host:port\"`";
        return Err((0, message.to_owned()));
    }
    let mut services = Vec::new();
    let mut first_lines = BTreeMap::new();
    for settings in file.service {
        let start = settings.span().start;
        let service =
            Service::try_from(settings.into_inner()).map_err(|error| (start, error.to_string()))?;
        let line = position(text, start).0;
        if let Some(first) = first_lines.insert(service.name().to_owned(), line) {
            let name = service.name();
            let message = format!(
                "the name {name:?} is taken by the service in line {first}: give each its own"
            );
            return Err((start, message));
        }
        services.push(service);
    }
    Ok(services)
}

/// Line and column of the byte at `offset`, both from 1.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kinds::service_monitor::Target;

    const GOOD: &str = r#"
[[service]]
name = "web"
http = "http://127.0.0.1:8080/health"
expect_status = 204
interval = "2s"
timeout = "300ms"

[[service]]
name = "database"
tcp = "127.0.0.1:5432"
"#;

    /// The place and message for a file.
    fn refusal(text: &str) -> (usize, usize, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("services.toml");
        fs::write(&file, text).unwrap();
        match read(&file).unwrap_err() {
            ServicesError::Invalid { path, line, column, message } => {
                assert_eq!(path, file);
                (line, column, message)
            }
            ServicesError::Unreadable { source, .. } => panic!("{source}"),
        }
    }

    fn assert_refused(text: &str, place: (usize, usize), words: &[&str]) {
        let (line, column, message) = refusal(text);
        assert_eq!((line, column), place, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is missing in {message:?}");
        }
    }

    #[test]
    fn services_are_read_with_their_settings() {
        let services = parse(GOOD).unwrap();
        let [web, database] = services.as_slice() else { panic!("{services:?}") };
        assert_eq!(web.name(), "web");
        assert_eq!(web.probe_interval(), Duration::from_secs(2));
        assert_eq!(web.probe_timeout(), Duration::from_millis(300));
        assert!(
            matches!(web.target(), Target::Http { expect_status: Some(status), .. } if *status == 204)
        );
        assert_eq!(database.target(), &Target::tcp("127.0.0.1:5432").unwrap());
    }

    #[test]
    fn unknown_key_is_refused_with_the_known_ones() {
        let text = "[[service]]\nname = \"a\"\ntcp = \"a:1\"\n  intervall = \"5s\"\n";
        assert_refused(
            text,
            (4, 3),
            &["`intervall`", "`interval`", "`timeout`", "`expect_status`"],
        );
        assert_refused("[[services]]\nname = \"a\"\n", (1, 3), &["`services`", "`service`"]);
    }

    #[test]
    fn service_with_both_targets_or_none_is_refused() {
        let both = "# mine\n\n[[service]]\nname = \"a\"\ntcp = \"a:1\"\nhttp = \"http://a\"\n";
        assert_refused(both, (3, 1), &["both `tcp` and `http`", "make two services"]);
        let none = "[[service]]\nname = \"a\"\ntcp = \"a:1\"\n[[service]]\nname = \"b\"\n";
        assert_refused(none, (4, 1), &["\"b\"", "nothing to probe", "tcp = \"host:port\""]);
    }

    #[test]
    fn bad_duration_is_refused_with_a_good_one() {
        for bad in ["\"5 parsecs\"", "\"fast\"", "5", "\"\"", "\"-1s\""] {
            let text = format!("[[service]]\nname = \"a\"\ntcp = \"a:1\"\ninterval = {bad}\n");
            assert_refused(&text, (4, 12), &["\"500ms\", \"5s\" or \"2m\""]);
        }
        let zero = "[[service]]\nname = \"a\"\ntcp = \"a:1\"\ntimeout = \"0s\"\n";
        assert_refused(zero, (4, 11), &["above zero"]);
    }

    #[test]
    fn zero_interval_is_refused() {
        let zero = "[[service]]\nname = \"a\"\ntcp = \"a:1\"\ninterval = \"0ms\"\n";
        assert_refused(zero, (4, 12), &["\"0ms\" is no time at all", "\"5s\""]);
    }

    #[test]
    fn duplicate_name_is_refused_with_the_line_of_the_first() {
        let twice = format!("{GOOD}\n[[service]]\nname = \"web\"\ntcp = \"a:1\"\n");
        assert_refused(&twice, (13, 1), &["\"web\" is taken", "line 2"]);
    }

    #[test]
    fn empty_file_is_refused_with_what_to_write() {
        for empty in ["", "# nothing yet\n", "service = []\n"] {
            assert_refused(empty, (1, 1), &["no services", "[[service]]"]);
        }
    }

    #[test]
    fn text_that_is_not_toml_is_refused_at_its_place() {
        let (line, _, message) = refusal("[[service]]\nname = web\n");
        assert_eq!(line, 2, "{message}");
    }

    #[test]
    fn value_that_does_not_fit_is_refused_at_its_place() {
        let service = |line: &str| format!("[[service]]\nname = \"a\"\n{line}\n");
        assert_refused(&service("tcp = \"a\""), (3, 7), &["write `host:port`"]);
        assert_refused(&service("http = \"a:80\""), (3, 8), &["write `http://host:port/path`"]);
        assert_refused(&service("http = \"https://a\""), (3, 8), &["https", "tcp = \"host:443\""]);
        assert_refused(&service("expect_status = 20"), (3, 17), &["100 to 599"]);
        assert_refused("[[service]]\nname = \"\"\ntcp = \"a:1\"\n", (2, 8), &["`name`"]);
    }

    #[test]
    fn missing_file_is_named() {
        let error = read(Path::new("no/such/file.toml")).unwrap_err();
        assert!(error.to_string().starts_with("no/such/file.toml: "), "{error}");
    }
}
