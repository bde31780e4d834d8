//! Plans, steps, and drivers that compete.

mod driving;
mod healing;
mod planning;
mod reporting;

use super::*;
use crate::configuration::{LEVEL, Member, Stage};
use abd::TimestampMode;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

const START: Instant = Instant(1_000_000_000);

fn settings() -> Settings {
    Settings { heals: true, order: <[u8]>::cmp }
}

fn directory(id: u32) -> DirectoryId {
    [u8::try_from(id).unwrap(); 16]
}

fn first(count: u32) -> Configuration {
    let addresses = (1..=count).map(|id| (NodeId(id), format!("host{id}:1")));
    Configuration::first(addresses, TimestampMode::Logical)
}

/// Node `own` of so many, all of which answer and have been met, in the first configuration.
fn driver(own: u32, count: u32) -> Driver {
    let mut driver = Driver::new(NodeId(own), directory(own), first(count), settings(), START);
    for id in 1..=count {
        meet(&mut driver, id, START);
    }
    driver
}

/// A node is met with its directory, and answers.
fn meet(driver: &mut Driver, id: u32, now: Instant) {
    driver.handle_met(NodeId(id), directory(id), LEVEL);
    driver.handle_up(NodeId(id), true, now);
}

fn down(driver: &mut Driver, id: u32, now: Instant) {
    driver.handle_up(NodeId(id), false, now);
}

fn after(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

/// What is begun for a request.
fn begun(driver: &Driver, request: &plan::Request) -> Configuration {
    match plan::plan(driver.view(), request) {
        Ok(plan::Plan::Begin(to)) => {
            let from = &driver.view().configuration;
            assert_eq!(from.check_successor(&to), Ok(()), "what is planned may be proposed");
            to
        }
        other => panic!("{request:?}: {other:?}"),
    }
}

fn refused(driver: &Driver, request: &plan::Request) -> String {
    match plan::plan(driver.view(), request) {
        Err(why) => why.to_string(),
        other => panic!("{request:?}: {other:?}"),
    }
}

fn replace(old: u32, address: &str) -> plan::Request {
    plan::Request::Replace { old: NodeId(old), address: address.into() }
}

fn change(add: &[&str], remove: &[u32]) -> plan::Request {
    let add = add.iter().map(|address| (*address).into()).collect();
    plan::Request::Change { add, remove: remove.iter().copied().map(NodeId).collect(), even: false }
}

fn even(request: plan::Request) -> plan::Request {
    match request {
        plan::Request::Change { add, remove, .. } => plan::Request::Change { add, remove, even: true },
        other => other,
    }
}

fn ids(members: &[Member]) -> Vec<u32> {
    members.iter().map(|member| member.id.0).collect()
}

/// The ids of those to come.
fn next(configuration: &Configuration) -> Vec<u32> {
    ids(configuration.next().expect("a change is under way"))
}
