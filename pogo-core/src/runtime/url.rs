//! Backend URLs: `SCHEME://REST?PARAMETER=VALUE&...`.
//!
//! Stricter than the web's URLs where a typing error would go unnoticed (every parameter once, none
//! unknown) and wider where backends need it: the rest may be a list of hosts or a multiaddress.

use std::{collections::BTreeMap, fmt};

use super::backend::BackendError;

/// A parsed backend URL. `Debug` shows neither the rest nor values, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl {
    scheme: String,
    rest: String,
    parameters: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl BackendUrl {
    /// Parses `url`; names and values of parameters are percent-decoded, the rest is not.
    ///
    /// # Errors
    /// [`BackendError::Malformed`].
    pub fn parse(url: &str) -> Result<Self, BackendError> {
        let (scheme, tail) = url
            .split_once("://")
            .ok_or_else(|| malformed("`://` is missing, as in `memory://pogo`"))?;
        let is_scheme = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(is_scheme) {
            return Err(malformed("the scheme before `://` is not in lower-case letters"));
        }
        let (rest, query) = tail.split_once('?').unwrap_or((tail, ""));
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| malformed("a parameter has no `=`"))?;
            let name = percent_decode(name)?;
            if parameters.insert(name.clone(), percent_decode(value)?).is_some() {
                return Err(malformed(&format!("parameter {name:?} stands twice")));
            }
        }
        Ok(Self { scheme: scheme.to_owned(), rest: rest.to_owned(), parameters, known: Vec::new() })
    }

    /// What stands before `://`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between `://` and `?`, as written.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Takes the value of a parameter; [`finish`](Self::finish) then knows it.
    pub fn take(&mut self, parameter: &'static str) -> Option<String> {
        self.known.push(parameter);
        self.parameters.remove(parameter)
    }

    /// Checks that every parameter was taken.
    ///
    /// # Errors
    /// [`BackendError::UnknownParameter`], which lists the known ones.
    pub fn finish(self) -> Result<(), BackendError> {
        match self.parameters.into_keys().next() {
            None => Ok(()),
            Some(parameter) => Err(BackendError::UnknownParameter {
                scheme: self.scheme,
                parameter,
                known: self.known.join(", "),
            }),
        }
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendUrl")
            .field("scheme", &self.scheme)
            .field("parameters", &self.parameters.keys())
            .finish_non_exhaustive()
    }
}

/// `text` with each `%XX` as the byte that it stands for.
///
/// # Errors
/// [`BackendError::Malformed`] where two hexadecimal digits are missing or the result is no UTF-8.
pub fn percent_decode(text: &str) -> Result<String, BackendError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded = if byte == b'%' {
            hex(rest.next()).zip(hex(rest.next())).map(|(high, low)| high << 4 | low)
        } else {
            Some(byte)
        };
        bytes.push(decoded.ok_or_else(|| malformed("`%` is not followed by two hex digits"))?);
    }
    String::from_utf8(bytes).map_err(|_bytes| malformed("what is percent-encoded is not UTF-8"))
}

fn hex(digit: Option<u8>) -> Option<u8> {
    let value = char::from(digit?).to_digit(16)?;
    u8::try_from(value).ok()
}

fn malformed(reason: &str) -> BackendError {
    BackendError::Malformed { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_backend_url_is_split_the_same_way() {
        for (url, scheme, rest) in [
            ("memory://pogo", "memory", "pogo"),
            ("gossip://0.0.0.0:7946?seeds=a:1,b:2", "gossip", "0.0.0.0:7946"),
            ("etcd://h1,h2:2379/cluster?ttl=5s", "etcd", "h1,h2:2379/cluster"),
            ("redis+sentinel://h:1/0", "redis+sentinel", "h:1/0"),
            ("libp2p:///ip4/0.0.0.0/tcp/0?psk=f", "libp2p", "/ip4/0.0.0.0/tcp/0"),
        ] {
            let url = BackendUrl::parse(url).unwrap();
            assert_eq!((url.scheme(), url.rest()), (scheme, rest));
        }
    }

    #[test]
    fn values_are_percent_decoded_and_the_rest_is_not() {
        let mut url = BackendUrl::parse("x://a%2Fb?name=a%26b%C3%BC+c").unwrap();
        assert_eq!(url.rest(), "a%2Fb");
        assert_eq!(url.take("name").as_deref(), Some("a&bü+c"));
        assert_eq!(url.finish(), Ok(()));
    }

    #[test]
    fn unknown_parameter_is_refused_with_the_known_ones() {
        let mut url = BackendUrl::parse("x://?nmae=a").unwrap();
        assert_eq!(url.take("name"), None);
        assert_eq!(url.take("cluster"), None);
        let error = url.finish().unwrap_err().to_string();
        assert_eq!(error, "x has no parameter \"nmae\"; known are: name, cluster");
    }

    #[test]
    fn what_is_no_backend_url_is_refused() {
        for url in
            ["", "memory", "://a", "Mem://a", "x://?a", "x://?a=1&a=2", "x://?a=%2", "x://?a=%ff"]
        {
            assert!(matches!(BackendUrl::parse(url), Err(BackendError::Malformed { .. })), "{url}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let url = BackendUrl::parse("x://user:s3cret@host?key=s3cret").unwrap();
        assert!(!format!("{url:?}").contains("s3cret"));
    }
}
