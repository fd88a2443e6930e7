//! A child of which there is at most one, and what it writes to holds it to that.
//!
//! Strict mode needs a backend with claims: etcd, or `memory://` for a look. Without arguments two
//! members share this process, and the writer moves from one to the other:
//!
//! ```console
//! $ cargo run -p pogo-examples --example strict_singleton
//! ```
//!
//! Or one member for each process, as it would be deployed. Stop the one that writes (`kill -STOP`) for
//! longer than its lease, and let it go on: its last write is refused.
//!
//! ```console
//! $ cargo run -p pogo-examples --example strict_singleton -- 'etcd://127.0.0.1:2379/example?new=yes' ash ledger.db
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod ledger;

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use pogo::{Child, ChildContext, ChildId, ChildSpec, Exclusivity, Exit, FencingToken, Supervisor};
use tokio::{
    task::spawn_blocking,
    time::{interval, timeout},
};

use self::ledger::{Ledger, Written};

const WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Writes an entry every 20 ms.
struct Writer {
    database: PathBuf,
}

impl Child for Writer {
    const KIND: &'static str = "writer";
    type Args = ();
    type State = ();

    async fn run(&self, (): (), cx: ChildContext<()>) -> Exit {
        let token = cx.token().ok_or("a strict child has a token")?;
        // A thread of its own, as a driver of some device may have: nothing ends it at a deadline, so
        // the token is all that holds it back.
        let thread = Thread::spawn(self.database.clone(), cx.member().to_string(), token);
        cx.ready();
        let mut tick = interval(PAUSE);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    let valid = cx.valid_for().unwrap_or_default().as_millis();
                    println!("{} polled with token {token}, valid for {valid} ms", cx.member());
                }
                why = cx.stopping() => {
                    println!("{} stops with token {token}: {why:?}", cx.member());
                    return thread.stop().await;
                }
            }
        }
    }
}

/// The thread that writes, until it is stopped or refused.
struct Thread {
    is_over: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl Thread {
    fn spawn(database: PathBuf, member: String, token: FencingToken) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let over = Arc::clone(&is_over);
        let handle = thread::spawn(move || {
            if let Err(error) = write_until(&database, &member, token, &over) {
                println!("{member} cannot write: {error}");
            }
        });
        Self { is_over, handle }
    }

    /// Returns when the last write is over: the next owner may begin then.
    async fn stop(self) -> Exit {
        self.is_over.store(true, Ordering::SeqCst);
        let ended = spawn_blocking(|| self.handle.join()).await?;
        ended.map_err(|_panic| "the thread that writes panicked".into())
    }
}

/// Writes until it is over or refused.
fn write_until(
    database: &Path,
    member: &str,
    token: FencingToken,
    is_over: &AtomicBool,
) -> rusqlite::Result<()> {
    let mut ledger = Ledger::open(database)?;
    while !is_over.load(Ordering::SeqCst) {
        match ledger.write(token, member)? {
            Written::Entry(number) => println!("{member} wrote entry {number} with token {token}"),
            Written::Stale => {
                println!("{member} was refused with token {token}");
                return Ok(());
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => both_in_one_process().await,
        [url, name, database] => one_member(url, name, Path::new(database)).await,
        _ => Err("give a backend's URL, a name and the file of a database, or nothing".into()),
    }
}

async fn member(url: &str, name: &str, database: &Path) -> Result<Supervisor, Box<dyn Error>> {
    let member = Supervisor::builder("singleton")
        .backend(url)
        .name(name)
        .exclusivity(Exclusivity::Strict)
        .kind(Writer { database: database.to_owned() })
        .start()
        .await?;
    member.ready().await?;
    Ok(member)
}

/// Takes part until it is told to stop.
async fn one_member(url: &str, name: &str, database: &Path) -> Result<(), Box<dyn Error>> {
    let member = member(url, name, database).await?;
    println!("{name} takes part");
    member.start_child(ChildSpec::new::<Writer>("one", &())?).await?;
    tokio::signal::ctrl_c().await?;
    member.shutdown().await;
    Ok(())
}

/// Waits until somebody has written with this token.
async fn has_written(database: &Path, token: FencingToken) -> Result<(), Box<dyn Error>> {
    let ledger = Ledger::open(database)?;
    let mut tick = interval(PAUSE);
    let looking = async {
        while !ledger.has_entry_of(token)? {
            tick.tick().await;
        }
        Ok(())
    };
    timeout(WITHIN, looking).await?
}

async fn both_in_one_process() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("ledger.db");
    let ash = member("memory://singleton", "ash", &database).await?;
    let birch = member("memory://singleton", "birch", &database).await?;
    ash.start_child(ChildSpec::new::<Writer>("one", &())?).await?;
    let id = ChildId::new("writer/one")?;

    let first = birch.wait_running(&id, WITHIN).await?;
    let token = first.token.ok_or("a strict child has a token")?;
    let holder = first.member.ok_or("nobody runs it")?;
    has_written(&database, token).await?;
    println!("{holder} holds token {token}, and leaves");
    let (leaver, stayer) = if holder.as_str() == "ash" { (&ash, &birch) } else { (&birch, &ash) };
    leaver.shutdown().await;
    let second = stayer.wait_running(&id, WITHIN).await?;
    let next = second.token.ok_or("a strict child has a token")?;
    println!("{} holds token {next}", second.member.ok_or("nobody runs it")?);
    if next <= token {
        return Err("the token has not grown".into());
    }

    let mut ledger = Ledger::open(&database)?;
    has_written(&database, next).await?;
    if ledger.write(token, "a ghost")? != Written::Stale {
        return Err("the ledger takes a stale token".into());
    }
    println!("a write with the old token is refused");
    stayer.shutdown().await;
    if !ledger.is_in_order()? {
        return Err("an entry with an older token stands after one with a newer".into());
    }
    Ok(())
}
