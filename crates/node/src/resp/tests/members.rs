//! `MEMBERS`: what its words ask for, and what is answered.

use super::*;
use crate::change::{Driver, Settings};
use crate::configuration::{Configuration, KEY, LEVEL};
use crate::functions::registers::Registers;
use crate::resp::{Stage, Step};
use abd::{Instant, NodeId, Reason, TimestampMode};

/// One of three members, all of which answer.
fn node() -> Node {
    let addresses = (1..=3).map(|id| (NodeId(id), format!("host{id}:1")));
    let first = Configuration::first(addresses, TimestampMode::Logical);
    let settings = Settings { heals: true, order: <[u8]>::cmp };
    let mut driver = Driver::new(NodeId(1), [1; 16], first, settings, Instant(0));
    for id in 2..=3 {
        driver.handle_met(NodeId(id), [u8::try_from(id).unwrap(); 16], LEVEL);
        driver.handle_up(NodeId(id), true, Instant(0));
    }
    Node { change: Some(RefCell::new(driver)), ..Node::default() }
}

/// The reply to a line, without its line ends; `carry_out` ends operations.
fn told(node: &Node, line: &str, mut carry_out: impl FnMut(abd::Operation) -> Outcome) -> String {
    let mut session = session();
    let mut plan = session.handle(ClientRequest::Command(args(line)), node);
    loop {
        plan = match plan {
            Plan::Reply(reply) => return encoded(&reply, Protocol::Resp2).trim_end().replace("\r\n", " "),
            Plan::First(Stage { step: Step::Run(operations, next), .. }) => {
                assert!(operations.iter().all(|operation| operation.key() == KEY));
                next(operations.into_iter().map(&mut carry_out).collect(), node).unwrap_or_else(Plan::Reply)
            }
            other => panic!("{line}: {other:?}"),
        };
    }
}

fn is_not_asked(operation: abd::Operation) -> Outcome {
    panic!("{operation:?}")
}

#[test]
fn a_change_is_begun_and_told_and_may_be_asked_for_again() {
    let (node, mut keys) = (node(), Registers::new(1));
    let reply = told(&node, "MEMBERS REPLACE 3 host4:1", |operation| keys.carry_out(operation));
    let told_of = |result: &str, epoch: u32, stage: &str| {
        format!(
            r#"{{"result":"{result}","epoch":{epoch},"stage":"{stage}","nodes":[{{"id":4,"address":"host4:1","#
        )
    };
    assert!(reply.contains(&told_of("begun", 2, "awaiting")), "{reply}");
    assert!(reply.contains("--join host1:1,host2:1 --peer-listen host4:1"), "{reply}");
    let reply = told(&node, "MEMBERS REPLACE 3 host4:1", is_not_asked);
    assert!(reply.contains(&told_of("under way", 2, "awaiting")), "{reply}");
    let listed = told(&node, "members list", is_not_asked);
    assert!(listed.contains(r#""epoch":2,"stage":"awaiting""#), "{listed}");
    let reply = told(&node, "MEMBERS ABORT", |operation| keys.carry_out(operation));
    assert!(
        reply.contains(r#"{"result":"begun","epoch":3,"stage":"stable","nodes":[],"clients":["#),
        "{reply}"
    );
    let reply = told(&node, "MEMBERS ABORT", is_not_asked);
    assert!(reply.contains(r#""result":"done""#), "{reply}");
    assert!(told(&node, "MEMBERS DEEP", is_not_asked).contains(r#"{"node":1,"pairs":[]}"#));
}

/// Its node had not heard of the last change yet.
#[test]
fn whoever_finds_another_configuration_plans_again() {
    let (there, here, mut keys) = (node(), node(), Registers::new(1));
    told(&there, "MEMBERS MOVE 2 moved:1", |operation| keys.carry_out(operation));
    let reply = told(&here, "MEMBERS MOVE 3 host4:1", |operation| keys.carry_out(operation));
    assert!(reply.contains(r#""result":"begun","epoch":3,"#), "{reply}");
    here.change(&mut |driver, _| {
        assert_eq!(driver.view().configuration.text(), "1=host1:1,2=moved:1,3=host4:1");
    });
}

/// The node that is asked has installed the new members already.
#[test]
fn a_change_that_is_through_here_is_not_given_up() {
    let (node, mut keys) = (node(), Registers::new(1));
    told(&node, "MEMBERS REMOVE 3 EVEN", |operation| keys.carry_out(operation));
    {
        let mut driver = node.change.as_ref().unwrap().borrow_mut();
        [1, 2].into_iter().for_each(|id| driver.handle_synced(NodeId(id), 2, Instant(0)));
        let switch = driver.poll_proposal(Instant(0)).expect("the switch");
        driver.handle_installed(&switch.to, Instant(0));
    }
    let reply = told(&node, "MEMBERS ABORT", is_not_asked);
    assert_eq!(reply, "-REFUSED the change is through: since epoch 3 at the latest the members are 1, 2");
    // After a while there is nothing that anybody could mean.
    let later = node.change.as_ref().unwrap().borrow().view_at(Instant(0) + crate::change::HELD_OFF);
    let abort = crate::change::plan::Request::Abort;
    assert_eq!(crate::change::plan::plan(&later, &abort), Ok(crate::change::plan::Plan::Done));
}

/// Whoever gives a change up and comes too late is not told that it is done.
#[test]
fn a_change_that_is_through_meanwhile_is_not_given_up() {
    let (there, here, mut keys) = (node(), node(), Registers::new(1));
    let reply = told(&there, "MEMBERS REMOVE 3 EVEN", |operation| keys.carry_out(operation));
    assert!(reply.contains(r#""result":"begun","epoch":2,"stage":"joint""#), "{reply}");
    let joint = there.change.as_ref().unwrap().borrow().view().configuration.clone();
    here.meet_configuration(&joint);
    let mut late = here.change.as_ref().unwrap().clone();
    {
        let (mut driver, now) = (there.change.as_ref().unwrap().borrow_mut(), Instant(0));
        [1, 2].into_iter().for_each(|id| driver.handle_synced(NodeId(id), 2, now));
        let switch = driver.poll_proposal(now).expect("the switch");
        let outcome = keys.carry_out(switch.operation());
        let known = driver.handle_outcome(&outcome, now).expect("it is decided");
        driver.handle_installed(&known, now);
    }
    let reply = told(&here, "MEMBERS ABORT", |operation| keys.carry_out(operation));
    assert_eq!(reply, "-REFUSED the change is through: since epoch 3 at the latest the members are 1, 2");
    // Another one that is under way meanwhile is not given up in its place.
    let before = late.get_mut().view().configuration.clone();
    let mut back = before.successor().unwrap();
    back.stage = crate::configuration::Stage::Stable;
    assert_eq!(crate::change::plan::check_given_up(&before, &back), Ok(()), "somebody else has given it up");
    let mut other = back.successor().unwrap();
    let next = before.members[1..].to_vec();
    other.stage = crate::configuration::Stage::Joint { next, lost: Vec::new() };
    let why = crate::change::plan::check_given_up(&before, &other).unwrap_err().to_string();
    assert!(why.starts_with("another change is under way (epoch 4, joint: 1, 2, 3 -> 2, 3)"), "{why}");
}

#[test]
fn refusals_say_why_and_bad_news_is_that_of_any_write() {
    let node = node();
    let refused = told(&node, "MEMBERS REMOVE 3", is_not_asked);
    assert!(refused.starts_with("-REFUSED there would be 2 members"), "{refused}");
    assert!(told(&node, "MEMBERS REPLACE 9 a:1", is_not_asked).starts_with("-REFUSED there is no node 9"));
    let bad = told(&node, "MEMBERS REMOVE 3 EVEN", |_| Outcome::Refused(Reason::Stopping));
    assert!(bad.starts_with("-NOQUORUM no effect: "), "{bad}");
    let bad = told(&node, "MEMBERS REMOVE 3 EVEN", |_| Outcome::Indeterminate(Reason::Cancelled));
    assert!(bad.starts_with("-INDETERMINATE "), "{bad}");
}

#[test]
fn words_are_read() {
    let of = |line: &str| {
        let node = node();
        let reply = told(&node, line, |_| Outcome::Refused(Reason::Stopping));
        reply.split(' ').next().unwrap().to_owned()
    };
    for line in [
        "MEMBERS ADD a:1 b:1",
        "members add a:1 even",
        "MEMBERS ADD a:1 REMOVE 3",
        "MEMBERS ADD a:1 b:1 c:1 remove 2 3 EVEN",
        "MEMBERS REMOVE 2 3",
        "MEMBERS REMOVE 3 even",
        "MEMBERS MOVE 1 a:1",
    ] {
        assert_eq!(of(line), "-NOQUORUM", "{line}");
    }
    for line in [
        "MEMBERS ADD REMOVE 3",
        "MEMBERS ADD a:1 REMOVE",
        "MEMBERS ADD EVEN",
        "MEMBERS ADD a:1 REMOVE x",
        "MEMBERS REMOVE EVEN",
        "MEMBERS REMOVE 0",
        "MEMBERS REPLACE -1 a:1",
        "MEMBERS REPLACE 1",
        "MEMBERS NOPE",
    ] {
        assert_eq!(of(line), "-ERR", "{line}");
    }
    // Not every host of a session knows the members.
    assert!(told(&Node::default(), "MEMBERS LIST", is_not_asked).starts_with("-ERR this is not where"));
    assert!(told(&Node::default(), "MEMBERS ABORT", is_not_asked).starts_with("-ERR this is not where"));
}
