#![doc = include_str!("../README.md")]

mod case;
mod cases;
mod failure;
mod harness;
mod member;
mod model;
mod run;
mod truth;
mod world;

pub use self::{
    case::{Case, Need, cases},
    harness::{Cluster, Harness, HarnessError, Means, Process, Time},
    run::{Report, Verdict, check, check_skips, run, run_case},
};
