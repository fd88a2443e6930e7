//! What the servers of all tests stand on: a runtime that outlives each test's own, and programs that are asked and
//! answer in time.

use std::{
    env, panic,
    path::PathBuf,
    process::Stdio,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    process::Command,
    runtime::{Builder, Runtime},
    time::timeout,
};

/// Nothing that a test asks of a program takes this long.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Proxies, and whatever speaks to servers, run here: a test's runtime has one thread and ends with the test.
pub(crate) fn bed() -> &'static Runtime {
    static BED: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(4).thread_name("bed").enable_all().build().expect("a runtime")
    });
    &BED
}

/// Does this on the bed, so that the test's own thread stays free for its members.
pub(crate) async fn on_bed<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match bed().spawn(timeout(ANSWER_WITHIN, work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_late)) => panic!("what a server was asked has no end in {ANSWER_WITHIN:?}"),
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

/// Where cargo has put a program: beside the folder of this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut path = env::current_exe().expect("the test has a path");
    path.pop();
    path.pop();
    path.push(name);
    assert!(path.exists(), "{}: `scripts/test.sh stores` builds it first", path.display());
    path
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

/// What a program prints, without the last line end; an error holds what it complains of.
pub(crate) async fn output(command: Command) -> Result<String, String> {
    let program = format!("{:?}", command.as_std());
    on_bed(async move {
        let mut command = command;
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| format!("{program}: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    })
    .await
}
