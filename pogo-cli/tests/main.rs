//! The program `pogo` as its users meet it: real processes, real services.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod sim;

/// Held by a test that starts a cluster of processes: several at once would take each other's time,
/// and a process that gets none for a second is rightly held to be dead.
#[cfg(test)]
fn one_cluster() -> std::sync::MutexGuard<'static, ()> {
    static MACHINE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
