//! The commands that ask an agent: `pogo members`, `start`, `stop` and so on.
//!
//! Each prints a table, or with `--json` what the agent answered. A refusal says why, and what to
//! do.

mod children;
mod connection;
mod events;
mod members;
mod options;
mod table;
mod words;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use pogo::{IdError, SpecError};
use serde::Serialize;

pub(crate) use self::connection::Connection;
pub use self::options::{ClientCommand, SpecArgs, StartArgs, Target, When};
use crate::http::{Token, TokenError};

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The agent refused. It says itself what was changed.
    #[error("{error}")]
    Refused {
        /// Why.
        error: String,
        /// The same for programs.
        code: String,
    },
    /// Nobody answers there. Nothing was changed.
    #[error(
        "no agent answers at {address} ({source}): is it running? Start one with `pogo agent`, or \
         name another with --http"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke. What was asked for may have been done.
    #[error("the agent at {address} gave no answer ({source}): what was asked may have been done")]
    Broken {
        /// Where.
        address: String,
        /// What was seen.
        source: io::Error,
    },
    /// The answer is none that an agent gives.
    #[error("what answers at {address} is no agent of this version ({source})")]
    Strange {
        /// Where.
        address: String,
        /// What was wrong with it.
        source: serde_json::Error,
    },
    /// What was waited for did not come in time.
    #[error("{0}")]
    TooLate(String),
    /// The address cannot be asked.
    #[error("--http: {address:?} is no address: write it as in 127.0.0.1:7900")]
    Address {
        /// As given.
        address: String,
    },
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An id, kind or label is not acceptable.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The spec is not acceptable.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The arguments are no JSON.
    #[error("--args is no JSON ({0}): a text is written in quotes, as in --args '\"text\"'")]
    Args(serde_json::Error),
    /// The file of specs cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl ClientError {
    /// Whether the command itself is at fault.
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Address { .. }
                | Self::Token(_)
                | Self::Id(_)
                | Self::Spec(_)
                | Self::Args(_)
                | Self::File { .. }
        )
    }
}

/// What a command that was carried out came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answered {
    /// It was done.
    Done,
    /// Some of it was refused, which was printed.
    Refused,
    /// A drain left children behind.
    LeftChildrenBehind,
}

/// Carries out a command.
///
/// # Errors
/// [`ClientError`].
pub async fn run(command: ClientCommand) -> Result<Answered, ClientError> {
    use ClientCommand as C;
    match command {
        C::Members { target } => members::list(&Asking::of(&target)?).await,
        C::Children { local, target } => children::list(&Asking::of(&target)?, local).await,
        C::Start { start, target } => children::start(&Asking::of(&target)?, &start).await,
        C::Replace { id, kind, spec, target } => {
            children::replace(&Asking::of(&target)?, &id, &kind, &spec).await
        }
        C::Stop { id, wait, target } => children::stop(&Asking::of(&target)?, &id, wait).await,
        C::Restart { id, target } => children::restart(&Asking::of(&target)?, &id).await,
        C::Lookup { id, target } => children::lookup(&Asking::of(&target)?, &id).await,
        C::Explain { id, target } => children::explain(&Asking::of(&target)?, &id).await,
        C::Cordon { member, target } => {
            members::cordon(&Asking::of(&target)?, &member, "cordon").await
        }
        C::Uncordon { member, target } => {
            members::cordon(&Asking::of(&target)?, &member, "uncordon").await
        }
        C::Drain { member, within, wait, target } => {
            members::drain(&Asking::of(&target)?, &member, within, wait).await
        }
        C::Plan { member, target } => members::plan(&Asking::of(&target)?, &member).await,
        C::Events { target } => events::show(&Asking::of(&target)?).await,
    }
}

/// Whom to ask, and how to show the answer.
#[derive(Debug)]
struct Asking {
    agent: Connection,
    json: bool,
}

impl Asking {
    fn of(target: &Target) -> Result<Self, ClientError> {
        let token = Token::find(target.http_token_file.as_deref())?;
        Ok(Self { agent: Connection::new(&target.http, token), json: target.json })
    }

    /// Prints an answer: as it is, or in words.
    fn show<T: Serialize>(
        &self,
        answer: &T,
        words: impl FnOnce(&T) -> String,
    ) -> Result<(), ClientError> {
        let text = if self.json {
            serde_json::to_string(answer).map_err(io::Error::from)? + "\n"
        } else {
            words(answer)
        };
        print(&text)?;
        Ok(())
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}
