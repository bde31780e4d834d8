//! Over RESP.
use abd::Deadline;

use super::*;
use crate::client::budget::{Budget, Charged, IDLE_BYTES};
use crate::client::patience::Lost;
use alloc::format;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn pipelined_requests_are_answered_in_order_and_in_one_piece() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("SET a 1\r\nGET a\r\nGET b\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    assert_eq!(world.begun.get(), 1, "a read of the key waits for the write, and the rest behind it");
    assert!(world.run());
    assert_eq!(client.received(), "", "the client waits for all");
    assert_eq!(client.replies(), "+OK\r\n$1\r\n1\r\n$-1\r\n+PONG\r\n$1\r\n1\r\n");
    assert_eq!(world.turns.borrow().all(), Load::default());
}

#[test]
fn requests_on_other_keys_run_at_the_same_time_and_whoever_shares_a_connection_need_not_wait_for_all() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("GET a\r\nGET b\r\nGET a\r\n");
    assert_eq!(world.begun.get(), 3);
    // Another caller on the same connection.
    client.send("GET c\r\n");
    let (_, operation, back) = world.running.borrow_mut().pop_front().unwrap();
    back.send(world.carry_out(operation));
    client.go();
    assert_eq!(client.received(), "$-1\r\n");
    assert_eq!(client.replies(), "$-1\r\n$-1\r\n$-1\r\n");
}

#[test]
fn half_a_request_waits_for_the_rest_but_not_for_ever() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("*2\r\n$4\r\nEC");
    world.now.set(at(20));
    client.send("HO\r\n$");
    assert_eq!(client.patience.look(at(30), 0), None);
    assert!(matches!(client.patience.look(at(31), 0), Some(Lost::HalfSent { seconds: 31, .. })));
    client.send("2\r\nhi\r\n");
    assert_eq!((client.replies().as_str(), client.patience.look(at(99), 0)), ("$2\r\nhi\r\n", None));
    client.end();
    assert!(client.is_done);
}

#[test]
fn what_is_too_large_is_refused_and_the_connection_goes_on() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    let huge = 100_000;
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${huge}\r\n"));
    for _ in 0..huge / 1000 {
        client.send([b'x'; 1000]);
        assert!(client.conversation.memory() < 10_000, "nothing of it is kept");
    }
    client.send("\r\nPING\r\n");
    let refusal = format!("-ERR value is too large: {huge} bytes, the limit is 4096\r\n");
    assert_eq!(client.replies(), refusal + "+PONG\r\n");
    client.send("*1\r\n$x\r\n");
    assert_eq!(client.replies(), "-ERR Protocol error: invalid bulk length\r\n");
    assert!(client.is_done, "nobody knows where the next request begins");
}

#[test]
fn whoever_does_not_read_is_served_up_to_a_limit_and_waited_for_for_a_while() {
    let world = World::new();
    world.registers.borrow_mut().carry_out(Operation::Set {
        key: "k".into(),
        value: "v".repeat(1000).into(),
        deadline: Deadline::NONE,
    });
    let mut client = Client::over_resp(&world);
    client.reads = 0;
    let mut sent = 0;
    while client.send("GET k\r\n") {
        sent += 1;
        while world.run() {
            client.go();
        }
        assert!(sent < 100, "it is served without bound");
    }
    let one = 1000 + "$1000\r\n\r\n".len();
    assert_eq!(sent, OUTPUT_LIMIT.div_ceil(one));
    assert!(client.conversation.memory() >= sent * one);
    assert_eq!(client.patience.look(at(30), OUTPUT_LIMIT), None);
    assert_eq!(
        client.patience.look(at(31), OUTPUT_LIMIT),
        Some(Lost::Unread { seconds: 31, limit: OUTPUT_LIMIT })
    );
    client.reads = 7;
    assert_eq!(client.replies().len(), sent * one);
    assert_eq!(client.patience.look(at(99), OUTPUT_LIMIT), None);
    assert!(client.send("PING\r\n"));
    assert_eq!(client.replies(), "+PONG\r\n");
}

#[test]
fn when_all_hold_too_much_the_one_that_holds_most_leaves_and_leaves_nothing_behind() {
    let world = World::new();
    let mut budget = Budget::new(3 * IDLE_BYTES + 40_000);
    let mut clients: Vec<_> =
        (0..3).map(|_| (Client::over_resp(&world), budget.open(), Charged::default())).collect();
    let set = |keys: usize| -> String {
        (0..keys).map(|key| format!("SET {key} {}\r\n", "v".repeat(4000))).collect()
    };
    let mut leaving = None;
    for (place, keys) in [(0, 1), (1, 10), (2, 2)] {
        let (client, account, charged) = &mut clients[place];
        client.send(set(keys));
        if let Some(charge) = charged.change(client.conversation.memory()) {
            budget.charge(*account, charge);
        }
        leaving = leaving.or(budget.next_to_leave());
    }
    let (account, held) = leaving.unwrap();
    assert_eq!((account, held > 40_000), (clients[1].1, true));
    let before = world.turns.borrow().all().operations;
    clients[1].0.conversation.abandon(&world);
    budget.close(account);
    assert_eq!((before, world.turns.borrow().all().operations), (13, 3));
    assert_eq!(world.running.borrow().len(), 3, "its operations have ended");
    assert!(!budget.is_exceeded());
    assert_eq!(clients[2].0.replies(), "+OK\r\n+OK\r\n");
    assert_eq!(clients[0].0.replies(), "+OK\r\n");
}

#[test]
fn a_large_request_has_its_share_and_the_rest_follows() {
    let world = World::new();
    let (mut other, mut client) = (Client::over_resp(&world), Client::over_resp(&world));
    let gets: String = (0..30).map(|key| format!("GET {key}\r\n")).collect();
    other.send(gets);
    let keys: String = (0..100).map(|key| format!(" {key}")).collect();
    client.send(format!("MGET{keys}\r\n"));
    assert_eq!(world.running.borrow().len(), 30 + 32, "half of what may be in flight");
    assert_eq!(client.replies(), format!("*100\r\n{}", "$-1\r\n".repeat(100)));
    assert_eq!(other.replies(), "$-1\r\n".repeat(30));
    client.send(format!("DEL{keys}\r\nEXISTS{keys}\r\n"));
    assert_eq!(client.replies(), ":0\r\n:0\r\n");
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_may_not_begin_yet_begins_later_or_is_refused_at_its_deadline() {
    let world = World::new();
    world.may_begin.set(false);
    let mut client = Client::over_resp(&world);
    client.send("SET a 1\r\nSET b 2\r\n");
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    let look = |client: &mut Client<'_, Resp>| {
        client.conversation.poll_settle(&world, &mut Context::from_waker(&waker)).is_ready()
    };
    assert!(!look(&mut client));
    assert_eq!((world.begun.get(), world.parked.borrow().poll_timeout()), (0, Some(at(5))));
    world.may_begin.set(true);
    world.parked.borrow().wake();
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    assert!(!look(&mut client));
    assert_eq!((world.begun.get(), world.parked.borrow().poll_timeout()), (2, None), "both at once");
    assert_eq!(client.replies(), "+OK\r\n+OK\r\n");

    world.may_begin.set(false);
    client.send("GET a\r\n");
    let why = Reason::NotAdmitted;
    world.parked.borrow_mut().handle_timeout(at(4), why);
    assert_eq!(client.replies(), "");
    world.parked.borrow_mut().handle_timeout(at(5), why);
    assert_eq!(client.replies(), format!("-NOQUORUM no effect: {why}\r\n"));
}

#[test]
fn a_client_that_leaves_or_is_told_to_takes_no_more() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("SET a 1\r\nQUIT\r\nGET a\r\n");
    assert_eq!(client.replies(), "+OK\r\n+OK\r\n");
    assert!(client.is_done && world.begun.get() == 1);
    let mut browser = Client::over_resp(&world);
    browser.send("POST / HTTP/1.1\r\nSET a 2\r\n");
    assert!(browser.is_done && browser.replies().is_empty() && world.begun.get() == 1);
}

#[test]
fn on_full_disks_a_deletion_that_is_no_update_is_done_instead() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("MSET a 1 b 2\r\n");
    assert_eq!(client.replies(), "+OK\r\n");
    world.is_full.set(true);
    client.send("INCR a\r\nDEL a b c\r\nEXISTS a b c\r\nDELEX d\r\nDELEX a IFNE 1\r\n");
    let full = "-NOQUORUM no effect: 2 of 3 replicas refused; one said that its disk is full\r\n";
    assert_eq!(client.replies(), format!("{full}:2\r\n:0\r\n:0\r\n{full}"));
    assert_eq!(world.begun.get(), 2 + 1 + 6 + 3 + 2 + 1, "each deletion begins twice");
    assert_eq!(world.turns.borrow().all(), Load::default());
    // With room it is one update each.
    world.is_full.set(false);
    client.send("SET a 1\r\nDEL a b\r\n");
    assert_eq!(client.replies(), "+OK\r\n:1\r\n");
    assert_eq!(world.begun.get(), 15 + 3);
}

#[test]
fn a_client_that_leaves_while_a_deletion_is_repeated_leaves_nothing() {
    let world = World::new();
    world.is_full.set(true);
    let mut client = Client::over_resp(&world);
    client.send("DEL a\r\n");
    assert!(world.run());
    client.go();
    assert_eq!((world.begun.get(), world.running.borrow().len()), (2, 1));
    client.conversation.abandon(&world);
    assert_eq!((world.running.borrow().len(), world.turns.borrow().all()), (0, Load::default()));
}

#[test]
fn what_takes_long_is_told_with_its_keys() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("SET a 1\r\nMGET b c d\r\n");
    world.now.set(at(2));
    assert_eq!(client.replies(), "+OK\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    client.send("GET a\r\nPING\r\n");
    assert_eq!(client.replies(), "$1\r\n1\r\n+PONG\r\n");
    let set = "$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:2097152\r\n:1\r\n";
    let get = "$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:1\r\n";
    client.send("LATENCY HISTOGRAM set Get ping\r\n");
    assert_eq!(client.replies(), format!("*4\r\n{get}{set}"));
    // With the smallest threshold all are told, but for those that have waited for others only.
    client.send("CONFIG SET slowlog-log-slower-than 0\r\n");
    assert_eq!(client.replies(), "+OK\r\n");
    client.send("SLOWLOG LEN\r\nSLOWLOG GET\r\n");
    let told = client.replies();
    assert!(told.starts_with(":3\r\n*3\r\n"), "{told}");
    for words in [
        ":0\r\n*2\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n",
        "*4\r\n$4\r\nMGET\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n",
        ":2000000\r\n*2\r\n$3\r\nSET\r\n$1\r\na\r\n",
    ] {
        assert!(told.contains(words), "{told}");
    }
}
