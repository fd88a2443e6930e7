//! The smallest child: a closure that runs until it is told to stop.
//!
//! ```console
//! $ cargo run -p pogo-examples --example hello
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, time::Duration};

use pogo::{Args, ChildContext, ChildSpec, Supervisor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let supervisor = Supervisor::builder("hello")
        .backend("memory://hello")
        .name("here")
        .kind_fn("greeter", |name: String, cx: ChildContext| async move {
            println!("{}: hello, {name}, from member {}", cx.id(), cx.member());
            let reason = cx.stopping().await;
            println!("{}: goodbye, {name} ({reason:?})", cx.id());
            Ok(())
        })
        .start()
        .await?;

    // What a child is told travels as JSON, so that any member can start it.
    let world = "greeter/world".parse()?;
    let spec =
        ChildSpec::of_kind("greeter/world".parse()?, "greeter".parse()?, Args::new("world")?);
    supervisor.start_child(spec).await?;

    // Accepted means that the cluster has it; a moment later it runs.
    let child = supervisor.wait_running(&world, Duration::from_secs(5)).await?;
    println!("{} is {:?} on {:?}", child.id, child.status, child.member);

    supervisor.terminate_child(&world).await?;
    supervisor.wait_gone(&world, Duration::from_secs(5)).await?;
    supervisor.shutdown().await;
    Ok(())
}
