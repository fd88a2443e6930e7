//! A backend of one's own: members that share nothing but a directory.
//!
//! `directory.rs` implements the one trait that a backend is; the supervisor above it is the same
//! as ever. Members may be threads, as here, or processes on one machine.
//!
//! ```console
//! $ cargo run -p pogo-examples --example custom_backend
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod directory;
mod feed;
mod files;

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use pogo::{Args, ChildContext, ChildId, ChildInfo, ChildSpec, Status, Supervisor};
use tokio::time::timeout;

use self::directory::Directory;

const WITHIN: Duration = Duration::from_secs(10);

async fn member(name: &str, path: &Path) -> Result<Supervisor, Box<dyn Error>> {
    let supervisor = Supervisor::builder("example")
        .membership(Arc::new(Directory::new(path)))
        .name(name)
        .kind_fn("keeper", |(): (), cx: ChildContext| async move {
            println!("  {} runs on {}", cx.id(), cx.member());
            cx.stopping().await;
            Ok(())
        })
        .start()
        .await?;
    supervisor.ready().await?;
    Ok(supervisor)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let left = member("left", directory.path()).await?;
    let right = member("right", directory.path()).await?;

    println!("two members share {}", directory.path().display());
    let mut ids = Vec::new();
    for n in 1..=6 {
        let id: ChildId = format!("keeper/{n}").parse()?;
        ids.push(id.clone());
        left.start_child(ChildSpec::of_kind(id, "keeper".parse()?, Args::new(&())?)).await?;
    }
    for id in &ids {
        let (seen_left, seen_right) =
            tokio::try_join!(left.wait_running(id, WITHIN), right.wait_running(id, WITHIN))?;
        if seen_left.member != seen_right.member {
            return Err(format!("{id}: the members disagree on who runs it").into());
        }
    }

    println!("one leaves, and the other takes its children up");
    left.shutdown().await;
    for id in &ids {
        let mut child = right.watch(id).await?;
        while !child.latest().is_some_and(|child| runs_on("right", &child)) {
            if !timeout(WITHIN, child.changed()).await? {
                return Err("the supervisor has stopped".into());
            }
        }
    }
    right.shutdown().await;
    Ok(())
}

fn runs_on(name: &str, child: &ChildInfo) -> bool {
    child.status == Status::Running && child.member.as_ref().is_some_and(|m| m.as_str() == name)
}
