//! A member of its own process, for the tests of stores: its strict child blocks its thread for ever and acts
//! all the while, and the process ends itself where that goes on past the child's deadline (R16). At SIGTERM the
//! member is shut down, and the process goes on.
//!
//! Its arguments are a backend's URL, the member's name, and the child's id. It prints `runs with token TOKEN`,
//! `acts at NANOSECONDS` of the machine's monotonic clock, and `is shut down`.
#![cfg_attr(unix, expect(clippy::print_stdout, reason = "the test reads what it prints"))]

#[cfg(unix)]
mod program {
    use std::{error::Error, thread, time::Duration};

    use pogo::{
        Args, ChildContext, ChildId, ChildSpec, Exclusivity, FencingToken, Kind, Supervisor,
    };
    use rustix::time::{ClockId, clock_gettime};
    use tokio::signal::unix::{SignalKind, signal};

    /// Between two acts of the child.
    const PAUSE: Duration = Duration::from_millis(2);

    pub(super) async fn run() -> Result<(), Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [url, name, child] = arguments.as_slice() else {
            return Err("give a backend's URL, a name and a child's id".into());
        };
        let member = Supervisor::builder("test")
            .backend(url)
            .name(name)
            .exclusivity(Exclusivity::Strict)
            .abort_past_deadline()
            .kind_fn("blocker", |(): (), cx: ChildContext| async move { block(&cx) })
            .start()
            .await?;
        member.ready().await?;
        let spec = ChildSpec::of_kind(
            ChildId::new(child.as_str())?,
            Kind::new("blocker")?,
            Args::new(&())?,
        );
        member.start_child(spec).await?;
        signal(SignalKind::terminate())?.recv().await;
        member.shutdown().await;
        println!("is shut down");
        std::future::pending().await
    }

    fn block(cx: &ChildContext) -> ! {
        cx.ready();
        println!("runs with token {}", cx.token().map_or(0, FencingToken::get));
        loop {
            let now = clock_gettime(ClockId::Monotonic);
            println!("acts at {}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
            thread::park_timeout(PAUSE);
        }
    }
}

#[cfg(unix)]
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    program::run().await
}

/// Processes are killed and read in another way there, and no test asks for it.
#[cfg(not(unix))]
fn main() {}
