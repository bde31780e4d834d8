//! Transactions over RESP: what comes in one packet is carried out as if it had come line by line.
use super::*;
use crate::client::patience::Lost;
use crate::resp::{MultiKeys, Policy};
use alloc::format;

#[test]
fn what_comes_behind_a_watch_waits_until_it_has_looked() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("SET other 1\r\nWATCH k\r\nGET other\r\nMULTI\r\nINCR k\r\nEXEC\r\nGET k\r\n");
    assert_eq!(world.begun.get(), 2, "the write and the look");
    assert!(world.run());
    client.go();
    assert_eq!(world.begun.get(), 3 + 1, "the read of another key, and EXEC");
    assert_eq!(client.replies(), "+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n$1\r\n1\r\n");
    // Somebody else writes between the look and EXEC.
    client.send("WATCH k\r\n");
    assert_eq!(client.replies(), "+OK\r\n");
    let deadline = abd::Deadline::NONE;
    world.registers.borrow_mut().carry_out(Operation::Set { key: "k".into(), value: "7".into(), deadline });
    client.send("MULTI\r\nINCR k\r\nEXEC\r\nMULTI\r\nINCR k\r\nEXEC\r\n");
    let queued = "+OK\r\n+QUEUED\r\n";
    assert_eq!(client.replies(), format!("{queued}*-1\r\n{queued}*1\r\n:8\r\n"));
    assert_eq!(world.turns.borrow().all(), Load::default());
}

#[test]
fn transactions_of_one_connection_run_at_the_same_time_unless_they_touch_the_same_keys() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("MULTI\r\nINCR a\r\nEXEC\r\nMULTI\r\nINCR b\r\nEXEC\r\nMULTI\r\nINCR a\r\nEXEC\r\n");
    assert_eq!(world.begun.get(), 2);
    let one = |number: u8| format!("+OK\r\n+QUEUED\r\n*1\r\n:{number}\r\n");
    assert_eq!(client.replies(), one(1) + &one(1) + &one(2));
}

#[test]
fn whoever_takes_its_time_within_a_transaction_is_charged_and_waited_for() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    let value = "v".repeat(4000);
    client.send(format!("MULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000\r\n{value}\r\n"));
    assert_eq!(client.replies(), "+OK\r\n+QUEUED\r\n");
    assert!(client.conversation.memory() > 4000);
    assert_eq!(client.patience.look(at(9999), 0), None);
    client.send("EX");
    world.now.set(at(1));
    assert!(matches!(client.patience.look(at(999), 0), Some(Lost::HalfSent { .. })));
    client.send("EC\r\n");
    assert_eq!(client.replies(), "*1\r\n+OK\r\n");
    assert!(client.conversation.memory() < 4000);
}

#[test]
fn while_a_watch_looks_little_is_read() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("WATCH k\r\nPING\r\n");
    assert!(client.conversation.reads());
    client.send("PING\r\n".repeat(10_000));
    assert!(!client.conversation.reads(), "the rest waits in the socket");
    assert_eq!(client.replies(), format!("+OK\r\n{}", "+PONG\r\n".repeat(10_001)));
}

#[test]
fn a_client_that_leaves_while_a_watch_looks_leaves_nothing() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("WATCH k\r\nMULTI\r\nSET k 1\r\nEXEC\r\n");
    client.conversation.abandon(&world);
    assert_eq!((world.running.borrow().len(), world.turns.borrow().all()), (0, Load::default()));
    assert_eq!(world.begun.get(), 1);
    // One that only sends no more gets everything.
    let mut client = Client::over_resp(&world);
    client.send("WATCH k\r\nMULTI\r\nSET k 1\r\nEXEC\r\n");
    client.end();
    assert!(!client.is_done);
    assert_eq!(client.replies(), "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert!(client.is_done);
}

#[test]
fn several_keys_with_watched_ones_hold_up_what_is_behind_them() {
    let world = World::new();
    world.policy.set(Policy { multi_keys: MultiKeys::PerKey, ..Policy::default() });
    let mut client = Client::over_resp(&world);
    client.send("WATCH w\r\nMULTI\r\nINCR a\r\nINCR b\r\nEXEC\r\nGET b\r\n");
    assert!(world.run());
    client.go();
    assert_eq!(world.begun.get(), 1 + 1, "a look at the watched key");
    let told = "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n$1\r\n1\r\n";
    assert_eq!(client.replies(), told);
    assert_eq!(world.begun.get(), 2 + 2 + 1);
}

/// Each key's part tells what became of it, and what is too large to be told was done all the same.
#[test]
fn answers_that_are_too_large_together_are_not_sent_and_all_is_done() {
    let world = World::new();
    world.policy.set(Policy { multi_keys: MultiKeys::PerKey, ..Policy::default() });
    let mut client = Client::over_resp(&world);
    let value = "v".repeat(4096);
    client.reads = usize::MAX;
    client.send(format!("MSET a {value} b {value}\r\n"));
    assert_eq!(client.replies(), "+OK\r\n");
    client.send("MULTI\r\n");
    let reads = 9000;
    for key in ["a", "b"] {
        client.send(format!("GET {key}\r\n").repeat(reads));
        client.send(format!("SET {key} done\r\n"));
        client.replies();
    }
    client.send("EXEC\r\n");
    let told = client.replies();
    assert_eq!(told.matches("are too large together: what it does to 'a' was done").count(), reads + 1);
    assert_eq!(told.matches("are too large together: what it does to 'b' was done").count(), reads + 1);
    client.send("MGET a b\r\n");
    assert_eq!(client.replies(), "*2\r\n$4\r\ndone\r\n$4\r\ndone\r\n");
}
