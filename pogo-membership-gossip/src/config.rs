//! The settings of the gossip backend.

use std::net::SocketAddr;

use crate::{
    address::{HostPort, NoHostPort},
    engine::Form,
    key::Key,
    timing::Timing,
};

/// The backend's name: its URL scheme.
pub(crate) const NAME: &str = "gossip";

/// How a process takes part in gossip. `Debug` does not show the key.
#[derive(Debug, Clone, PartialEq)]
pub struct GossipConfig {
    pub(crate) bind: SocketAddr,
    pub(crate) seeds: Vec<HostPort>,
    pub(crate) key: Option<Key>,
    pub(crate) plaintext: bool,
    pub(crate) timing: Timing,
    pub(crate) advertise: Option<HostPort>,
    pub(crate) form: Form,
}

/// Settings that do not go together, or make no sense. Nothing was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Others than this machine could listen and speak.
    #[error(
        "{bind} can be reached from other machines: set `key` to a file with a key, the same for \
         all members, or say `plaintext=yes` where the network keeps strangers out"
    )]
    Unprotected {
        /// Where it would listen.
        bind: SocketAddr,
    },
    /// A key, and the wish to do without one.
    #[error("`key` and `plaintext=yes` exclude each other: remove one")]
    KeyAndPlaintext,
    /// A seed is no address.
    #[error("`seeds` has {seed:?}, which {source}")]
    Seed {
        /// The seed.
        seed: String,
        /// What it should be.
        source: NoHostPort,
    },
    /// The address to advertise is none.
    #[error("`advertise` is {address:?}, which {source}")]
    Advertise {
        /// What was given.
        address: String,
        /// What it should be.
        source: NoHostPort,
    },
}

impl GossipConfig {
    /// Listens on `bind`, port 0 for one that is free; the timing is that of one machine on
    /// loopback and of a local network elsewhere.
    pub const fn new(bind: SocketAddr) -> Self {
        let timing = if bind.ip().is_loopback() { Timing::LOCAL } else { Timing::LAN };
        Self {
            bind,
            seeds: Vec::new(),
            key: None,
            plaintext: false,
            timing,
            advertise: None,
            form: Form::Alone,
        }
    }

    /// Where others may be found: `host:port`, by name or address. Its own may be among them.
    ///
    /// # Errors
    /// [`ConfigError::Seed`].
    pub fn seeds<S: AsRef<str>>(
        mut self,
        seeds: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        for seed in seeds {
            let seed = seed.as_ref();
            let parsed = seed
                .parse()
                .map_err(|source| ConfigError::Seed { seed: seed.to_owned(), source })?;
            self.seeds.push(parsed);
        }
        Ok(self)
    }

    /// The cluster's key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Does without a key although other machines can reach it.
    #[must_use]
    pub const fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// How fast it notices what happens.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The address that others reach it by, where that is not the one it listens on.
    ///
    /// # Errors
    /// [`ConfigError::Advertise`].
    pub fn advertise(mut self, address: &str) -> Result<Self, ConfigError> {
        let parsed = address
            .parse()
            .map_err(|source| ConfigError::Advertise { address: address.to_owned(), source })?;
        self.advertise = Some(parsed);
        Ok(self)
    }

    /// Whether it may form a cluster alone when no seed answers (R12).
    #[must_use]
    pub const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Whether the settings go together.
    pub(crate) const fn check(&self) -> Result<(), ConfigError> {
        match (&self.key, self.plaintext) {
            (Some(_), true) => Err(ConfigError::KeyAndPlaintext),
            (None, false) if !self.bind.ip().is_loopback() => {
                Err(ConfigError::Unprotected { bind: self.bind })
            }
            (Some(_), false) | (None, _) => Ok(()),
        }
    }
}
