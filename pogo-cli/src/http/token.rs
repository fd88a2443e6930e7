//! The token that requests carry. It is never shown.

use std::path::Path;
use std::{env, fmt, fs, io, path::PathBuf};

use hyper::header::HeaderValue;

/// The variable of the environment that has it.
const VARIABLE: &str = "POGO_HTTP_TOKEN";

/// A secret text; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// A token that cannot be used. Its text is never in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("--http-token-file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No HTTP header can carry it.
    #[error(
        "the HTTP token in {place} must be visible ASCII characters without spaces, at least one"
    )]
    Text {
        /// Where it was found.
        place: String,
    },
}

impl Token {
    /// Takes a text of visible ASCII characters.
    pub(crate) fn new(text: String) -> Option<Self> {
        let is_good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_good.then_some(Self(text))
    }

    /// The token of the file, else that of the environment, else none.
    pub(crate) fn find(file: Option<&Path>) -> Result<Option<Self>, TokenError> {
        let (text, place) = match file {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|source| TokenError::Unreadable { path: path.to_owned(), source })?;
                (text.trim().to_owned(), path.display().to_string())
            }
            None => match env::var_os(VARIABLE) {
                Some(text) => (text.to_string_lossy().into_owned(), VARIABLE.to_owned()),
                None => return Ok(None),
            },
        };
        Self::new(text).map(Some).ok_or(TokenError::Text { place })
    }

    /// Whether an `Authorization` header carries it.
    pub(crate) fn is_in(&self, header: Option<&HeaderValue>) -> bool {
        let given = header.and_then(|header| header.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| self.equals(given))
    }

    /// Takes the same time whichever byte differs, so that nobody finds it byte by byte.
    fn equals(&self, given: &[u8]) -> bool {
        let token = self.0.as_bytes();
        let difference = token.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0 && token.len() == given.len()
    }

    /// The header that carries it, marked as secret.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_not_shown_and_survives_its_header() {
        let token = Token::new("abc".to_owned()).unwrap();
        assert!(!format!("{token:?}").contains("abc"));
        let header = token.to_header().unwrap();
        assert!(!format!("{header:?}").contains("abc"));
        assert!(token.is_in(Some(&header)));
        assert!(!token.is_in(None));
    }

    #[test]
    fn token_of_a_file_is_read_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(Token::find(Some(&path)).unwrap(), Token::new("abc".to_owned()));
        fs::write(&path, "\n").unwrap();
        let error = Token::find(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("at least one"), "{error}");
        fs::write(&path, "a secret").unwrap();
        let error = Token::find(Some(&path)).unwrap_err().to_string();
        assert!(!error.contains("a secret"), "{error}");
        assert!(Token::find(Some(&dir.path().join("none"))).is_err());
    }
}
