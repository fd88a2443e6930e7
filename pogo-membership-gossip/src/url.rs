//! The backend by URL.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use pogo_core::{
    id::{ClusterName, MemberName},
    runtime::{Backend, BackendError, BackendUrl, Backends, Naming},
};

use crate::{
    address::HostPort,
    config::{GossipConfig, NAME},
    engine::Form,
    key::Key,
    membership::GossipMembership,
    timing::Timing,
};

/// `gossip://BIND?PARAMETER=VALUE&...`, where `BIND` is the address to listen on, as `127.0.0.1`,
/// `0.0.0.0:7946` (7946 is the default) or `[::1]:0` (a free port). All parameters are optional:
///
/// | parameter | |
/// |---|---|
/// | `seeds=A,B` | where others may be found, `HOST` or `HOST:PORT`; its own address may be among them |
/// | `key=FILE` | the cluster's key: 64 hex digits, or 32 bytes in base64 |
/// | `plaintext=yes` | do without a key although other machines can reach `BIND` |
/// | `cluster=NAME` | peers of other clusters are turned away; `pogo` |
/// | `name=NAME` | the member's name; `auto` for the host's with a suffix where that is taken |
/// | `preset=local`, `lan`, `wan` | how fast it notices what happens; `local` on loopback, else `lan` |
/// | `advertise=HOST:PORT` | the address that others reach it by, where that is not `BIND` |
/// | `form=alone`, `never` | whether it forms a cluster alone when no seed answers; `alone` |
#[derive(Debug)]
pub struct GossipOnly;

impl Backends for GossipOnly {
    fn open(url: &str) -> Result<Backend, BackendError> {
        let url = BackendUrl::parse(url)?;
        if url.scheme() != NAME {
            let (scheme, known) = (url.scheme().to_owned(), NAME.to_owned());
            return Err(BackendError::UnknownScheme { scheme, known });
        }
        let parsed = parse(url)?;
        let membership = GossipMembership::new(parsed.config).map_err(|error| setting(&error))?;
        Ok(Backend {
            membership: Arc::new(membership),
            cluster: Some(parsed.cluster),
            name: parsed.name,
            naming: parsed.naming,
        })
    }
}

/// What a URL says.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) config: GossipConfig,
    cluster: ClusterName,
    name: Option<MemberName>,
    naming: Naming,
}

pub(crate) fn parse(mut url: BackendUrl) -> Result<Parsed, BackendError> {
    let mut config = GossipConfig::new(bind(url.rest())?);
    if let Some(seeds) = url.take("seeds") {
        config = config.seeds(seeds.split(',')).map_err(|error| setting(&error))?;
    }
    let name = url.take("name");
    let key = url.take("key");
    let timing = choice(&mut url, "preset", &PRESETS)?;
    let cluster = url.take("cluster").unwrap_or_else(|| "pogo".to_owned());
    if let Some(address) = url.take("advertise") {
        config = config.advertise(&address).map_err(|error| setting(&error))?;
    }
    let form = choice(&mut url, "form", &[("alone", Form::Alone), ("never", Form::Never)])?;
    let plaintext = choice(&mut url, "plaintext", &[("yes", true)])?;
    // Before the file of the key is opened: a typing error may be in the name of its parameter.
    url.finish()?;

    config = config.form(form.unwrap_or(Form::Alone));
    if let Some(timing) = timing {
        config = config.timing(timing);
    }
    if plaintext == Some(true) {
        config = config.plaintext();
    }
    if let Some(file) = key {
        config = config.key(Key::read(Path::new(&file)).map_err(|error| setting(&error))?);
    }
    config.check().map_err(|error| setting(&error))?;
    let naming = if name.as_deref() == Some("auto") { Naming::Suffixed } else { Naming::Exact };
    let name = name.filter(|name| name != "auto").map(MemberName::new).transpose()?;
    Ok(Parsed { config, cluster: ClusterName::new(cluster)?, name, naming })
}

const PRESETS: [(&str, Timing); 3] =
    [("local", Timing::LOCAL), ("lan", Timing::LAN), ("wan", Timing::WAN)];

fn bind(text: &str) -> Result<SocketAddr, BackendError> {
    let address = text.parse::<HostPort>().ok();
    let address = address.and_then(|it| Some((it.host.parse::<IpAddr>().ok()?, it.port())));
    address.map(SocketAddr::from).ok_or_else(|| {
        setting(
            &"after `gossip://` there must be the address to listen on, as in \
              `gossip://127.0.0.1:7946` or, for all of this machine's, `gossip://0.0.0.0:7946`",
        )
    })
}

/// The value of a parameter that has a few.
fn choice<T: Clone>(
    url: &mut BackendUrl,
    parameter: &'static str,
    values: &[(&str, T)],
) -> Result<Option<T>, BackendError> {
    let Some(given) = url.take(parameter) else { return Ok(None) };
    if let Some((_, value)) = values.iter().find(|(name, _)| *name == given) {
        return Ok(Some(value.clone()));
    }
    let known: Vec<_> = values.iter().map(|(name, _)| *name).collect();
    let known = known.join(", ");
    Err(setting(&format!("`{parameter}` is {given:?}; its values are: {known}")))
}

fn setting(reason: &impl ToString) -> BackendError {
    BackendError::Setting { scheme: NAME.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn parsed(url: &str) -> Result<Parsed, BackendError> {
        parse(BackendUrl::parse(url)?)
    }

    fn error(url: &str) -> String {
        parsed(url).map(drop).expect_err(url).to_string()
    }

    #[test]
    fn bare_address_is_enough_on_loopback() {
        for (url, bind) in [
            ("gossip://127.0.0.1", "127.0.0.1:7946"),
            ("gossip://127.0.0.1:1234", "127.0.0.1:1234"),
            ("gossip://[::1]:0", "[::1]:0"),
        ] {
            let parsed = parsed(url).unwrap();
            let expected = GossipConfig::new(bind.parse().unwrap());
            assert_eq!(parsed.config, expected, "{url}");
            assert_eq!(parsed.config.timing, Timing::LOCAL);
            assert_eq!((parsed.cluster.as_str(), parsed.name), ("pogo", None));
            assert_eq!(parsed.naming, Naming::Exact);
        }
    }

    #[test]
    fn every_parameter_is_taken() {
        let file = key_file();
        let url = format!(
            "gossip://0.0.0.0?seeds=a,b:1&name=one&key={}&preset=wan&cluster=blue\
             &advertise=10.0.0.1&form=never",
            file.path().display()
        );
        let parsed = parsed(&url).unwrap();
        let expected = GossipConfig::new("0.0.0.0:7946".parse().unwrap())
            .seeds(["a:7946", "b:1"].map(|seed| seed.trim_end_matches(":7946")))
            .unwrap()
            .key(Key::from_text(KEY).unwrap())
            .timing(Timing::WAN)
            .advertise("10.0.0.1")
            .unwrap()
            .form(Form::Never);
        assert_eq!(parsed.config, expected);
        assert_eq!((parsed.cluster.as_str(), parsed.name.unwrap().as_str()), ("blue", "one"));
        assert!(!format!("{expected:?}").contains("0001"), "the key shows");
    }

    #[test]
    fn automatic_name_may_get_a_suffix() {
        let parsed = parsed("gossip://127.0.0.1?name=auto").unwrap();
        assert_eq!((parsed.name, parsed.naming), (None, Naming::Suffixed));
    }

    #[test]
    fn reachable_address_needs_a_key_or_the_word_that_it_does_not() {
        let text = error("gossip://0.0.0.0:7946?seeds=a");
        assert!(text.contains("set `key`") && text.contains("`plaintext=yes`"), "{text}");
        let open = parsed("gossip://0.0.0.0:7946?plaintext=yes").unwrap();
        assert_eq!(open.config.timing, Timing::LAN);
        let file = key_file();
        let both = format!("gossip://127.0.0.1?plaintext=yes&key={}", file.path().display());
        assert!(error(&both).contains("exclude each other"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (url, said) in [
            ("gossip://", "must be the address to listen on"),
            ("gossip://localhost", "must be the address to listen on"),
            ("gossip://127.0.0.1:99999", "must be the address to listen on"),
            ("gossip://127.0.0.1?seeds=", "`seeds` has \"\", which is not `HOST`"),
            ("gossip://127.0.0.1?seeds=a,b:c", "`seeds` has \"b:c\", which is not `HOST`"),
            ("gossip://127.0.0.1?advertise=a:b:c", "`advertise` is \"a:b:c\""),
            ("gossip://127.0.0.1?preset=fast", "its values are: local, lan, wan"),
            ("gossip://127.0.0.1?form=maybe", "its values are: alone, never"),
            ("gossip://127.0.0.1?plaintext=no", "its values are: yes"),
            ("gossip://127.0.0.1?key=no/such.key", "cannot read the key file no/such.key"),
            ("gossip://127.0.0.1?cluster=", "cluster name is empty"),
            ("gossip://127.0.0.1?name=", "member name is empty"),
            (
                "gossip://127.0.0.1?data=d",
                "gossip has no parameter \"data\"; known are: seeds, name, key, preset, cluster, \
                 advertise, form, plaintext",
            ),
        ] {
            let error = error(url);
            assert!(error.contains(said), "{url}: {error}");
        }
    }

    fn key_file() -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, KEY).unwrap();
        file
    }
}
