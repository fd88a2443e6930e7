//! `pogo keygen`: a new key for a cluster by gossip.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use pogo::gossip::key::{Key, KeyError};

/// Makes a key that the members of a cluster by gossip share.
///
/// Every member names the file in its URL, as in `gossip://0.0.0.0:7946?key=pogo.key`; whoever has
/// the key takes part. With --out only you can read the file, and one that exists is left as it is.
#[derive(Debug, Clone, Args)]
pub struct KeygenArgs {
    /// Write the key into this new file instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeygenError {
    /// It could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file is there already.
    #[error("{} exists already: name another file, or move that one away", .0.display())]
    Exists(PathBuf),
    /// It could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be printed.
    #[error(transparent)]
    Print(#[from] io::Error),
}

impl KeygenError {
    /// Whether the command itself is at fault.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Exists(_))
    }
}

/// Makes a key and writes it.
///
/// # Errors
/// [`KeygenError`]; a file that exists is left as it is.
pub fn run(args: &KeygenArgs) -> Result<(), KeygenError> {
    let text = Key::generate()?.to_text() + "\n";
    let Some(path) = &args.out else { return Ok(io::stdout().write_all(text.as_bytes())?) };
    write_new(path, &text).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            KeygenError::Exists(path.clone())
        } else {
            KeygenError::Write { path: path.clone(), source: error }
        }
    })
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())
}
