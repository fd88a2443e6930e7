//! What Pogo is for: every member is asked for the same monitors, and of each one runs.
//!
//! Three supervisors share this process here, as on three hosts. What they know of each other comes
//! by the URL that is given, one for all or one for each, and by nothing else:
//!
//! ```console
//! $ cargo run -p pogo-examples --example service_monitor
//! $ cargo run -p pogo-examples --example service_monitor -- etcd://127.0.0.1:2379/example
//! $ cargo run -p pogo-examples --example service_monitor -- 'gossip://127.0.0.1:7001?seeds=127.0.0.1:7001' \
//!       'gossip://127.0.0.1:7002?seeds=127.0.0.1:7001' 'gossip://127.0.0.1:7003?seeds=127.0.0.1:7001'
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use pogo::{Child, ChildContext, ChildId, ChildSpec, Exit, Listing, Supervisor};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Interval, interval, timeout},
};

const WITHIN: Duration = Duration::from_secs(10);
const MEMBERS: [&str; 3] = ["ash", "birch", "cedar"];
const SERVICES: [&str; 6] =
    ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"];

/// What a monitor needs on every member: here the port to knock at, and for how long.
struct ServiceMonitor {
    port: u16,
    patience: Duration,
}

impl Child for ServiceMonitor {
    const KIND: &'static str = "service_monitor";
    type Args = IpAddr;
    /// How often it has probed: handed over when the monitor moves to another member.
    type State = u64;

    #[expect(clippy::renamed_function_params, reason = "says what it is")]
    async fn run(&self, ip: IpAddr, cx: ChildContext<u64>) -> Exit {
        let mut probes = cx.inherited()?.unwrap_or(0);
        let mut tick = interval(Duration::from_millis(200));
        let word = if self.is_up(ip, &mut tick).await { "up" } else { "down" };
        println!("  {ip} is {word}, says {}", cx.member());
        cx.ready();
        loop {
            tokio::select! {
                // The outcome is data about the service, not a failure of the monitor.
                _ = self.is_up(ip, &mut tick) => probes += 1,
                _ = cx.stopping() => return Ok(cx.hand_over(&probes)?),
            }
        }
    }
}

impl ServiceMonitor {
    /// Knocks once, when it is time to.
    async fn is_up(&self, ip: IpAddr, tick: &mut Interval) -> bool {
        tick.tick().await;
        let knock = TcpStream::connect(SocketAddr::new(ip, self.port));
        matches!(timeout(self.patience, knock).await, Ok(Ok(_)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let port = service.local_addr()?.port();

    let given: Vec<String> = std::env::args().skip(1).collect();
    let urls = if given.is_empty() { vec!["memory://example".to_owned()] } else { given };
    let mut members = Vec::new();
    for (name, url) in MEMBERS.iter().zip(urls.iter().cycle()) {
        let member = Supervisor::builder("monitors")
            .backend(url)
            .name(*name)
            .kind(ServiceMonitor { port, patience: Duration::from_secs(1) })
            .start()
            .await?;
        members.push(member);
    }
    for member in &members {
        member.ready().await?;
    }

    let ids = ask_everywhere(&members).await?;
    list(&members, &ids).await?;
    terminate_from_elsewhere(&members, &ids).await?;

    join_all(members.iter().map(Supervisor::shutdown)).await;
    Ok(())
}

/// Asks each member for each monitor at the same time, as every host of a deployment would.
async fn ask_everywhere(members: &[Supervisor]) -> Result<Vec<ChildId>, Box<dyn Error>> {
    println!("every member is asked for every monitor:");
    let mut ids = Vec::new();
    for ip in SERVICES {
        let spec = ChildSpec::new::<ServiceMonitor>(ip, &ip.parse()?)?;
        // Accepted, by one or by several at once, or there already: never a second instance.
        try_join_all(members.iter().map(|member| member.start_child(spec.clone()))).await?;
        ids.push(spec.id);
    }
    for member in members {
        for id in &ids {
            member.wait_running(id, WITHIN).await?;
        }
    }
    Ok(ids)
}

async fn list(members: &[Supervisor], ids: &[ChildId]) -> Result<(), Box<dyn Error>> {
    println!("listed on every member:");
    let mut local = 0;
    for (name, member) in MEMBERS.iter().zip(members) {
        let here = member.which_children(Listing::Local).await?;
        let everywhere = member.which_children(Listing::Global).await?;
        println!("  {name} runs {} of {}", here.len(), everywhere.len());
        check(everywhere.len() == ids.len(), "a member does not list all of them")?;
        local += here.len();
    }
    check(local == ids.len(), "a monitor runs nowhere, or twice")?;
    Ok(())
}

async fn terminate_from_elsewhere(
    members: &[Supervisor],
    ids: &[ChildId],
) -> Result<(), Box<dyn Error>> {
    println!("terminated from a member that does not run it:");
    let [id, ..] = ids else { return Err("there are no monitors".into()) };
    for (name, member) in MEMBERS.iter().zip(members) {
        let child = member.lookup(id).await?.ok_or("the monitor is not listed")?;
        let holder = child.member.ok_or("nobody runs the monitor")?;
        if holder.as_str() != *name {
            println!("  {id} runs on {holder}; {name} terminates it");
            member.terminate_child(id).await?;
            break;
        }
    }
    for member in members {
        member.wait_gone(id, WITHIN).await?;
        check(member.count_children().await? == ids.len() - 1, "another monitor went with it")?;
    }
    println!("  gone on all of them");
    Ok(())
}

fn check(holds: bool, otherwise: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
