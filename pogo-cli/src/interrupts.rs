//! Ctrl-C, and on Unix SIGTERM: somebody wants the program to end.

use std::io;

use tokio::signal;

/// Listens from when it is made, so that no interrupt is missed while others are handled.
#[derive(Debug)]
pub(crate) struct Interrupts {
    #[cfg(unix)]
    signals: [signal::unix::Signal; 2],
    #[cfg(windows)]
    signals: [signal::windows::CtrlC; 1],
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use signal::unix::{SignalKind, signal};
        Ok(Self { signals: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?] })
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(windows)]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { signals: [signal::windows::ctrl_c()?] })
    }

    /// Resolves at the next interrupt.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) {
        let waits = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(waits).await;
    }
}
