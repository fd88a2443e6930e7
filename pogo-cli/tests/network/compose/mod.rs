//! The cluster of docker/docker-compose.yml, as its users run it.

mod project;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use self::project::{Project, docker};
use crate::wait::eventually;

const SERVICES: [&str; 3] = ["pogo-1", "pogo-2", "pogo-3"];
/// How long a change may take to be seen, detection included.
const WITHIN: Duration = Duration::from_secs(15);

#[test]
fn image_holds_a_program_that_needs_nothing_else() {
    let project = Project::new();
    let image = project.image();
    let version = docker(&["run", "--rm", "--read-only", "--cap-drop=ALL", &image, "--version"]);
    assert_eq!(version, format!("pogo {}", env!("CARGO_PKG_VERSION")));
}

/// Waits until these services see each other and no one else.
fn meet(project: &Project, services: &[&str]) {
    let wanted: BTreeSet<_> = services.iter().map(|it| (*it).to_owned()).collect();
    eventually("the members see each other", WITHIN, || {
        for service in services {
            let seen = project.interface(service)?.members().map_err(|error| error.to_string())?;
            if seen != wanted {
                return Err(format!("{service} sees {seen:?}"));
            }
        }
        Ok::<_, String>(())
    });
}

/// Waits until all `children` run, and these services say the same of where.
fn settled(project: &Project, services: &[&str], children: usize) -> BTreeMap<String, String> {
    eventually("all children run and every member lists that", WITHIN, || {
        let mut all = Vec::new();
        for service in services {
            all.push(project.interface(service)?.places().map_err(|error| error.to_string())?);
        }
        let first = all[0].clone();
        let here = first.values().all(|member| services.contains(&member.as_str()));
        if first.len() == children && here && all.iter().all(|other| *other == first) {
            Ok(first)
        } else {
            Err(format!("{all:#?}"))
        }
    })
}

#[test]
fn children_outlive_a_killed_and_a_frozen_container_and_go_back_to_it() {
    let project = Project::new();
    let began = Instant::now();
    project.up();
    meet(&project, &SERVICES);
    println!("three members in containers after {:?}", began.elapsed());

    let children: Vec<_> = (0..30).map(|at| format!("idle/{at}")).collect();
    project.interface("pogo-1").expect("it runs").start(&children);
    let whole = settled(&project, &SERVICES, 30);
    assert_eq!(whole.values().collect::<BTreeSet<_>>().len(), 3, "all take part: {whole:?}");

    let began = Instant::now();
    docker(&["kill", "--signal", "KILL", &project.container("pogo-2")]);
    settled(&project, &["pogo-1", "pogo-3"], 30);
    println!("children of a killed container run elsewhere after {:?}", began.elapsed());
    docker(&["start", &project.container("pogo-2")]);
    meet(&project, &SERVICES);
    assert_eq!(settled(&project, &SERVICES, 30), whole, "it has taken its children back");

    docker(&["pause", &project.container("pogo-3")]);
    settled(&project, &["pogo-1", "pogo-2"], 30);
    docker(&["unpause", &project.container("pogo-3")]);
    meet(&project, &SERVICES);
    assert_eq!(settled(&project, &SERVICES, 30), whole, "each child runs where it should again");

    for service in SERVICES {
        let health =
            ["inspect", "--format", "{{.State.Health.Status}}", &project.container(service)];
        eventually("the health check finds it well", WITHIN, || {
            let health = docker(&health);
            if health == "healthy" { Ok(()) } else { Err(health) }
        });
    }

    project.stop("pogo-1");
    let exit = ["inspect", "--format", "{{.State.ExitCode}}", &project.container("pogo-1")];
    assert_eq!(docker(&exit), "0", "its children went elsewhere first");
    settled(&project, &["pogo-2", "pogo-3"], 30);
    project.down();
    assert_eq!(project.remains(), "");
}

#[test]
fn stranger_learns_nothing_without_the_token() {
    let project = Project::new();
    project.up();
    let mut interface = eventually("it answers", WITHIN, || {
        let interface = project.interface("pogo-1")?;
        let known = interface.members();
        known.map(|_| interface).map_err(|error| error.to_string())
    });
    assert!(interface.address.ip().is_loopback(), "published to this machine only");
    for token in [None, Some("00".repeat(24))] {
        interface.token = token;
        let refused = interface.members().expect_err("it wants the token");
        assert!(refused.to_string().contains("401"), "{refused}");
    }
}
