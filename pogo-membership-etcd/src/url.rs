//! The backend by URL.

use std::{env, fs, sync::Arc, time::Duration};

use pogo_core::{
    id::{ClusterName, MemberName},
    runtime::{Backend, BackendError, BackendUrl, Backends, Naming, percent_decode},
};

use crate::{
    config::{EtcdConfig, Tls},
    membership::EtcdMembership,
};

/// Where a password may be given that stands in no file.
const PASSWORD: &str = "POGO_ETCD_PASSWORD";

/// `etcd://HOST1,HOST2:2379/CLUSTER?PARAMETER=VALUE&...`, or `etcds://` to encrypt. The port is 2379
/// and the cluster `pogo` where there is none. All parameters are optional:
///
/// | parameter | |
/// |---|---|
/// | `ttl=5s` | how long a member's lease lasts: whole seconds from 2s |
/// | `user=NAME` | the user to log in as |
/// | `password_file=FILE` | its password; else in the variable `POGO_ETCD_PASSWORD` |
/// | `ca=FILE` | the CA of the servers' certificates, in PEM (`etcds`) |
/// | `cert=FILE`, `key=FILE` | what the member shows the servers, in PEM (`etcds`) |
/// | `domain=NAME` | the name in the servers' certificates, where that is not the host (`etcds`) |
/// | `name=NAME` | the member's name; `auto` for the host's with a suffix where that is taken |
/// | `new=yes` | the store is new: tokens of strict children begin with epoch 1 (first start only) |
///
/// `new=yes` is to be taken out again after the first start. Where it stays and the store is wiped,
/// a fresh process that comes first begins with epoch 1 again: it grants claims at once, with tokens
/// below those handed out before, while others may still run what they held.
#[derive(Debug)]
pub struct EtcdOnly;

impl Backends for EtcdOnly {
    fn open(url: &str) -> Result<Backend, BackendError> {
        let url = BackendUrl::parse(url)?;
        let parsed = parse(url)?;
        Ok(Backend {
            membership: Arc::new(EtcdMembership::new(parsed.config)),
            cluster: Some(parsed.cluster),
            name: parsed.name,
            naming: parsed.naming,
        })
    }
}

impl EtcdConfig {
    /// The settings and the cluster that a URL names, for what works on a store without joining.
    ///
    /// # Errors
    /// [`BackendError`]; nothing was opened.
    pub fn from_url(url: &str) -> Result<(Self, ClusterName), BackendError> {
        let parsed = parse(BackendUrl::parse(url)?)?;
        Ok((parsed.config, parsed.cluster))
    }
}

struct Parsed {
    config: EtcdConfig,
    cluster: ClusterName,
    name: Option<MemberName>,
    naming: Naming,
}

fn parse(mut url: BackendUrl) -> Result<Parsed, BackendError> {
    let scheme = url.scheme().to_owned();
    let is_encrypted = match scheme.as_str() {
        "etcd" => false,
        "etcds" => true,
        _ => {
            let known = "etcd, etcds".to_owned();
            return Err(BackendError::UnknownScheme { scheme, known });
        }
    };
    let rest = url.rest().to_owned();
    // A password may have a slash in it, so that a part of it would pass for a host and be shown.
    if rest.contains('@') {
        let why = "no user or password stands before the hosts: give `user` and `password_file`";
        return Err(setting(&scheme, why));
    }
    let (hosts, cluster) = rest.split_once('/').unwrap_or((&rest, ""));
    let cluster = percent_decode(cluster)?;
    let cluster = ClusterName::new(if cluster.is_empty() { "pogo" } else { &cluster })?;
    let (name, ttl, new) = (url.take("name"), url.take("ttl"), url.take("new"));
    let login = Login { user: url.take("user"), file: url.take("password_file") };
    let files = TlsFiles {
        ca: url.take("ca"),
        cert: url.take("cert"),
        key: url.take("key"),
        domain: url.take("domain"),
    };
    // Before files are opened: a typing error may be in the name of their parameter.
    url.finish()?;

    let hosts = hosts.split(',').filter(|host| !host.is_empty());
    let mut config = EtcdConfig::new(hosts).map_err(|error| setting(&scheme, &error))?;
    if let Some(ttl) = ttl {
        let seconds = ttl.strip_suffix('s').and_then(|it| it.parse().ok()).map(Duration::from_secs);
        let otherwise = || setting(&scheme, &format!("`ttl` is {ttl:?}: give it as in `5s`"));
        config = config.ttl(seconds.ok_or_else(otherwise)?).map_err(|it| setting(&scheme, &it))?;
    }
    config = login.add_to(config, &scheme)?;
    config = if is_encrypted {
        files.add_to(config, &scheme)?
    } else {
        files.refuse(config, &scheme)?
    };
    config = match new.as_deref() {
        None => config,
        Some("yes") => config.new_store(),
        Some(other) => {
            return Err(setting(&scheme, &format!("`new` is {other:?}; its values are: yes")));
        }
    };
    let naming = if name.as_deref() == Some("auto") { Naming::Suffixed } else { Naming::Exact };
    let name = name.filter(|name| name != "auto").map(MemberName::new).transpose()?;
    Ok(Parsed { config, cluster, name, naming })
}

/// Who logs in.
struct Login {
    user: Option<String>,
    file: Option<String>,
}

impl Login {
    fn add_to(self, config: EtcdConfig, scheme: &str) -> Result<EtcdConfig, BackendError> {
        let Some(user) = self.user else {
            return match self.file {
                None => Ok(config),
                Some(_) => Err(setting(scheme, "`password_file` needs `user`")),
            };
        };
        let password = match self.file {
            Some(file) => String::from_utf8(read(scheme, "password_file", &file)?).ok(),
            None => env::var(PASSWORD).ok(),
        };
        let password = password.ok_or_else(|| {
            let why = "a password is missing: name a file in `password_file`, or set";
            setting(scheme, &format!("{why} {PASSWORD}"))
        })?;
        Ok(config.credentials(user, password.trim_end_matches(['\r', '\n'])))
    }
}

/// The files of an encrypted connection.
struct TlsFiles {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    domain: Option<String>,
}

impl TlsFiles {
    fn add_to(self, config: EtcdConfig, scheme: &str) -> Result<EtcdConfig, BackendError> {
        let missing = || setting(scheme, "`ca` is missing: name the file of the servers' CA");
        let ca = self.ca.ok_or_else(missing)?;
        let tls = Tls::new().ca_pem(read(scheme, "ca", &ca)?);
        let tls = match (self.cert, self.key) {
            (Some(cert), Some(key)) => {
                tls.identity_pem(read(scheme, "cert", &cert)?, read(scheme, "key", &key)?)
            }
            (None, None) => tls,
            _ => {
                return Err(setting(
                    scheme,
                    "`cert` and `key` belong together: give both or neither",
                ));
            }
        };
        Ok(config.tls(match self.domain {
            Some(domain) => tls.domain(domain),
            None => tls,
        }))
    }

    fn refuse(self, config: EtcdConfig, scheme: &str) -> Result<EtcdConfig, BackendError> {
        match self.ca.or(self.cert).or(self.key).or(self.domain) {
            None => Ok(config),
            Some(_) => {
                Err(setting(scheme, "certificates need `etcds://` in the place of `etcd://`"))
            }
        }
    }
}

fn read(scheme: &str, parameter: &str, file: &str) -> Result<Vec<u8>, BackendError> {
    let otherwise = |error| format!("cannot read `{parameter}` ({file}): {error}");
    fs::read(file).map_err(|error| setting(scheme, &otherwise(error)))
}

fn setting(scheme: &str, reason: &(impl ToString + ?Sized)) -> BackendError {
    BackendError::Setting { scheme: scheme.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        EtcdOnly::open(url).map(drop).expect_err(url).to_string()
    }

    #[test]
    fn url_says_all_there_is_to_set() {
        let url = BackendUrl::parse("etcd://a,b:4001/shop?ttl=9s&new=yes&name=one").unwrap();
        let parsed = parse(url).unwrap();
        assert_eq!(parsed.config.endpoints, ["a:2379", "b:4001"]);
        assert_eq!(parsed.config.ttl, Duration::from_secs(9));
        assert!(parsed.config.is_new_store);
        assert_eq!((parsed.cluster.as_str(), parsed.name.unwrap().as_str()), ("shop", "one"));
        let (config, cluster) = EtcdConfig::from_url("etcd://a").unwrap();
        assert_eq!((config.ttl, cluster.as_str()), (Duration::from_secs(5), "pogo"));
    }

    #[test]
    fn files_of_secrets_are_read_and_named_where_they_cannot_be() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "secret\n").unwrap();
        let path = file.path().display();
        let (config, _) =
            EtcdConfig::from_url(&format!("etcd://a?user=ann&password_file={path}")).unwrap();
        assert_eq!(config.credentials, Some(("ann".to_owned(), "secret".to_owned())));
        let missing = error("etcd://a?user=ann&password_file=nowhere");
        assert!(missing.contains("cannot read `password_file` (nowhere)"), "{missing}");
    }

    #[test]
    fn url_that_cannot_be_is_refused_and_says_what_to_do() {
        for (url, said) in [
            ("etcd://", "no endpoint is given"),
            ("etcd:///pogo", "no endpoint is given"),
            ("etcd://u:p@a", "give `user` and `password_file`"),
            ("etcd://a?ttl=1s", "whole seconds from 2s"),
            ("etcd://a?ttl=5", "as in `5s`"),
            ("etcd://a?password_file=x", "needs `user`"),
            ("etcd://a?ca=x", "need `etcds://`"),
            ("etcds://a", "`ca` is missing"),
            ("etcd://a?new=no", "its values are: yes"),
            (
                "etcd://a?tll=5s",
                "known are: name, ttl, new, user, password_file, ca, cert, key, domain",
            ),
            ("redis://a", "known are: etcd, etcds"),
        ] {
            let text = error(url);
            assert!(text.contains(said), "{url}: {text}");
        }
    }

    #[test]
    fn password_in_the_url_is_refused_and_not_shown_whatever_is_in_it() {
        for url in
            ["etcd://ann:secret@a", "etcd://ann:secret/b@a/shop", "etcd://ann:12/secret@a/shop"]
        {
            let text = error(url);
            assert!(text.contains("give `user` and `password_file`"), "{url}: {text}");
            assert!(!text.contains("secret") && !text.contains("ann"), "{url}: {text}");
        }
    }
}
