//! `pogo epoch`: the epoch of a store's fencing tokens (R18).

use std::io::{self, Write};

use clap::Args;
use pogo::{AllBackends, BackendError, Backends};
use serde_json::json;

/// Shows or raises the epoch of a cluster's fencing tokens.
///
/// Where a store has lost its data and nobody is left who knew its epoch, strict children wait: a
/// token must never be lower than one that was handed out before. Say then which epoch comes next,
/// as in `pogo epoch --backend etcd://10.0.0.1/shop --bump --to 7`; a token's epoch is its upper 16 of 64
/// bits. Every member joins again, and strict children start after one lease time.
#[derive(Debug, Clone, Args)]
pub struct EpochArgs {
    /// The store, as members name it
    #[arg(long, value_name = "URL", env = "POGO_BACKEND")]
    pub backend: String,
    /// Begin the next epoch
    #[arg(long)]
    pub bump: bool,
    /// Begin this one; needed where the store has none
    #[arg(long, value_name = "N", requires = "bump")]
    pub to: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why there is no epoch to show. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The URL names no backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The backend keeps no epoch.
    #[error("{0} keeps no epoch: tokens that outlive processes come from a store, as etcd")]
    NoStore(&'static str),
    /// The store did not do it.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] pogo::etcd::EpochError),
    /// There is no runtime, or nowhere to print.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl EpochError {
    /// Whether the command itself is at fault.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Backend(_) | Self::NoStore(_) => true,
            #[cfg(feature = "etcd")]
            Self::Etcd(error) => matches!(
                error,
                pogo::etcd::EpochError::Unknown | pogo::etcd::EpochError::NotHigher { .. }
            ),
            Self::Io(_) => false,
        }
    }
}

/// Shows the epoch, or raises it and shows the one that stands then.
///
/// # Errors
/// [`EpochError`]; nothing was changed.
pub async fn run(args: EpochArgs) -> Result<(), EpochError> {
    let epoch = epoch(&args).await?;
    let text = match (args.json, epoch) {
        (true, epoch) => json!({ "epoch": epoch }).to_string(),
        (false, Some(epoch)) => epoch.to_string(),
        (false, None) => "unknown".to_owned(),
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}

async fn epoch(args: &EpochArgs) -> Result<Option<u64>, EpochError> {
    // Opening reads the files that the URL names.
    let url = args.backend.clone();
    let opening = tokio::task::spawn_blocking(move || AllBackends::open(&url));
    let backend = opening.await.map_err(io::Error::other)??;
    #[cfg(feature = "etcd")]
    if backend.membership.name() == "etcd" {
        use pogo::etcd::{Epoch, EtcdConfig};
        let (config, cluster) = EtcdConfig::from_url(&args.backend)?;
        return Ok(if args.bump {
            Some(Epoch::bump(&config, &cluster, args.to).await?)
        } else {
            Epoch::read(&config, &cluster).await.map_err(pogo::etcd::EpochError::from)?
        });
    }
    Err(EpochError::NoStore(backend.membership.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn backend_without_a_store_has_no_epoch_to_raise() {
        let args = |backend: &str| EpochArgs {
            backend: backend.to_owned(),
            bump: true,
            to: None,
            json: false,
        };
        let error = run(args("memory://pogo")).await.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("memory keeps no epoch"), "{error}");
        let error = run(args("carrier://pigeon")).await.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("unknown backend"), "{error}");
    }
}
