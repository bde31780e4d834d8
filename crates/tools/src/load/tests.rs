//! The whole loop against small servers of its own.

use super::{Mix, Phase, Plan, Report, Workload, look_up, run_resp};
use crate::resp::{Decoded, ResponseRef, decode};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Map = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// Serves the commands of all workloads on a free port; hangs up on a connection after so many requests.
fn server(requests: usize) -> (String, Map) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let map = Map::default();
    let shared = Arc::clone(&map);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, map) = (stream.unwrap(), Arc::clone(&shared));
            std::thread::spawn(move || talk(stream, &map, requests));
        }
    });
    (address, map)
}

fn talk(mut stream: TcpStream, map: &Map, requests: usize) {
    // Half a batch may be answered before the rest arrives; the answers must not wait for each other.
    stream.set_nodelay(true).unwrap();
    let (mut input, mut out, mut read) = (Vec::new(), Vec::new(), [0; 4096]);
    let mut left = requests;
    loop {
        // A command is an array of values.
        while let Decoded::Whole { reply: ResponseRef::Array(Some(items)), length } = decode(&input).unwrap()
        {
            if left == 0 {
                return;
            }
            left -= 1;
            let argument = |item: &ResponseRef<'_>| match item {
                ResponseRef::Bulk(Some(bytes)) => bytes.to_vec(),
                other => panic!("{other:?} is no argument"),
            };
            let args: Vec<Vec<u8>> = items.iter().map(argument).collect();
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            carry_out(&args, &mut map.lock().unwrap(), &mut out);
            input.drain(..length);
        }
        match (stream.write_all(&out), stream.read(&mut read)) {
            (Ok(()), Ok(count)) if count > 0 => input.extend_from_slice(&read[..count]),
            _ => return,
        }
        out.clear();
    }
}

/// Carries out a command as Redis does; but a SET of an unlucky key is refused, and an INCR of it may have happened.
fn carry_out(args: &[&[u8]], map: &mut HashMap<Vec<u8>, Vec<u8>>, out: &mut Vec<u8>) {
    let unlucky = args[1].ends_with(b"13");
    match args {
        [b"GET", key] => match map.get(*key) {
            Some(value) => {
                out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(b"$-1\r\n"),
        },
        [b"SET", key, ..] if args.last() == Some(&&b"NX"[..]) && map.contains_key(*key) => {
            out.extend_from_slice(b"$-1\r\n");
        }
        [b"SET", key, value, ..] => {
            map.insert(key.to_vec(), value.to_vec());
            out.extend_from_slice(if unlucky { b"-NOQUORUM unlucky\r\n" } else { b"+OK\r\n" });
        }
        [b"DELIFEQ", key, value] => {
            let equal = map.get(*key).is_some_and(|found| found == value);
            if equal {
                map.remove(*key);
            }
            out.extend_from_slice(format!(":{}\r\n", u8::from(equal)).as_bytes());
        }
        [b"INCR", key] => {
            let value = map.entry(key.to_vec()).or_default();
            let number = String::from_utf8_lossy(value).parse().unwrap_or(0_u64) + 1;
            *value = number.to_string().into_bytes();
            let answer = format!(":{number}\r\n");
            out.extend_from_slice(if unlucky { b"-INDETERMINATE unlucky\r\n" } else { answer.as_bytes() });
        }
        [b"APPEND", key, piece] => {
            let value = map.entry(key.to_vec()).or_default();
            value.extend_from_slice(piece);
            out.extend_from_slice(format!(":{}\r\n", value.len()).as_bytes());
        }
        _ => out.extend_from_slice(b"-ERR\r\n"),
    }
}

const WRITES: Mix = Mix::Register { reads: 0 };

fn plan() -> Plan {
    Plan {
        workload: Workload { keys: 10, value_size: 5000, mix: Mix::Register { reads: 50 }, hot: false },
        clients: 4,
        connections: None,
        pipeline: 3,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(10),
        operations: Some(400),
        prefill: true,
        patience: Duration::from_secs(10),
    }
}

fn measure(addresses: &[String], plan: Plan) -> Report {
    run_resp(look_up(addresses).unwrap(), plan, |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn every_operation_is_counted_once() {
    let (address, map) = server(usize::MAX);
    let mut phases = Vec::new();
    let report = run_resp(look_up(&[address]).unwrap(), plan(), |progress| {
        phases.push(progress.phase);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(map.lock().unwrap().len(), 10, "every key was written first");
    assert!(phases.contains(&Phase::Measured));
    // The clients share a thread with whoever ends the measurement: a batch may be over before it ends.
    assert!((400..420).contains(&report.operations), "{}", report.operations);
    assert_eq!(report.operations, report.reads.operations + report.writes.operations);
    assert!(report.reads.operations > 100 && report.writes.operations > 100);
    assert_eq!((report.misses, report.errors.total()), (0, 0));
    assert_eq!(report.fairness.mean, report.operations as f64 / 4.0);
    assert!(report.longest_gap_ms > 0.0 && report.generator_cpu_us_per_operation > 0.0);
}

#[test]
fn without_prefill_reads_miss() {
    let (address, _) = server(usize::MAX);
    let mut plan = plan();
    plan.workload.mix = Mix::Register { reads: 100 };
    plan.prefill = false;
    let report = measure(&[address], plan);
    assert_eq!(report.misses, report.operations);
}

#[test]
fn a_client_goes_on_at_another_node() {
    // Four connections do not last for 400 operations, wherever they are.
    let (fickle, _) = server(50);
    let (other, _) = server(50);
    let mut plan = plan();
    plan.workload.mix = WRITES;
    let report = measure(&[fickle, other], plan);
    assert!(report.operations >= 400);
    assert!(report.errors.connection > 0, "connections broke");
    assert_eq!(report.errors.total(), report.errors.connection);
}

#[test]
fn clients_that_share_a_connection_get_their_own_answers() {
    let (address, _) = server(usize::MAX);
    let mut plan = plan();
    plan.connections = Some(1);
    plan.workload = Workload { keys: 20, ..plan.workload };
    plan.prefill = false;
    let report = measure(&[address], plan);
    assert!(report.operations >= 400);
    assert_eq!(report.connections, 1);
    // Writes of one key in twenty are refused, reads never; other clients' errors are nobody's.
    let refused = report.errors.noquorum as f64 / (report.errors.noquorum + report.writes.operations) as f64;
    assert!((0.01..0.15).contains(&refused), "{refused} of all writes");
    assert_eq!(report.errors.total(), report.errors.noquorum);
}

#[test]
fn clients_that_share_connections_go_on_when_one_breaks() {
    let (fickle, _) = server(50);
    let (steady, _) = server(usize::MAX);
    let mut plan = plan();
    plan.connections = Some(2);
    plan.workload.mix = WRITES;
    let report = measure(&[fickle, steady], plan);
    assert!(report.operations >= 400);
    assert!(report.errors.connection > 0, "connections broke");
    assert_eq!(report.errors.total(), report.errors.connection);
}

#[test]
fn refusals_are_counted_by_kind() {
    let (address, _) = server(usize::MAX);
    let mut plan = plan();
    plan.workload = Workload { keys: 20, mix: WRITES, ..plan.workload };
    plan.prefill = false;
    let report = measure(&[address], plan);
    assert!(report.errors.noquorum > 0);
    assert_eq!(report.errors.total(), report.errors.noquorum);
}

#[test]
fn counters_count_what_was_counted() {
    let (address, map) = server(usize::MAX);
    let mut plan = plan();
    plan.workload.mix = Mix::Increment;
    plan.prefill = false;
    let report = measure(&[address], plan);
    assert!(report.operations >= 400 && report.workload == "incr");
    assert_eq!((report.operations, report.errors.total()), (report.updates.operations, 0));
    assert!(report.updates.p50_us > 0.0 && report.reads.operations + report.writes.operations == 0);
    // No key is written for another workload, and what came after the measurement was carried out, too.
    let map = map.lock().unwrap();
    let sum: u64 = map.values().map(|value| String::from_utf8_lossy(value).parse::<u64>().unwrap()).sum();
    assert!(map.keys().all(|key| key.starts_with(b"bench:i")) && sum >= report.operations, "{sum}");
}

#[test]
fn what_is_indeterminate_is_counted_apart() {
    let (address, _) = server(usize::MAX);
    let mut plan = plan();
    plan.workload = Workload { keys: 20, mix: Mix::Increment, ..plan.workload };
    plan.prefill = false;
    let report = measure(&[address], plan);
    assert!(report.errors.indeterminate > 0);
    assert_eq!(report.errors.total(), report.errors.indeterminate);
}

#[test]
fn a_condition_that_never_holds_is_a_completed_operation() {
    let (address, map) = server(usize::MAX);
    let mut plan = plan();
    plan.workload.mix = Mix::SetIfAbsent;
    let report = measure(&[address], plan);
    assert_eq!((report.taken, report.refused), (0, report.operations));
    assert_eq!(report.updates.operations, report.operations);
    assert_eq!(map.lock().unwrap().len(), 10);
}

#[test]
fn locks_are_taken_and_given_back() {
    let (address, map) = server(usize::MAX);
    let mut plan = plan();
    plan.workload = Workload { value_size: 16, mix: Mix::Lock, hot: true, ..plan.workload };
    plan.pipeline = 1;
    let report = measure(&[address], plan);
    assert!(report.operations >= 400 && report.errors.total() == 0);
    assert!(report.taken > 0 && report.refused > 0, "{} and {}", report.taken, report.refused);
    // Of each pair one half may lie outside of the measurement.
    let given_back = report.operations - report.taken - report.refused;
    assert!(given_back.abs_diff(report.taken) <= 1, "{given_back} of {}", report.taken);
    assert_eq!(report.fairness.mean * 4.0, report.taken as f64);
    assert!(report.fairness.max > 0 && report.fairness.slowest_of_fastest() <= 1.0);
    assert!(map.lock().unwrap().len() <= 1);
}

#[test]
fn appended_values_begin_anew() {
    let (address, map) = server(usize::MAX);
    let mut plan = plan();
    plan.workload = Workload { value_size: 1, mix: Mix::Append, hot: true, ..plan.workload };
    plan.operations = Some(5000);
    let report = measure(&[address], plan);
    let (updates, writes) = (report.updates.operations, report.writes.operations);
    assert!(writes > 10 && updates > 10 * writes, "{updates} updates, {writes} writes");
    assert!(map.lock().unwrap().values().all(|value| value.len() < 2000));
}

#[test]
fn a_report_survives_json() {
    let (address, _) = server(usize::MAX);
    let report = measure(&[address], plan());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn whoever_watches_may_end_it() {
    for (phase, ended) in [(Phase::Prefill, false), (Phase::WarmUp, false), (Phase::Measured, true)] {
        let (address, map) = server(usize::MAX);
        let plan = Plan { warm_up: Duration::from_secs(3600), operations: None, ..plan() };
        let plan = if ended { Plan { warm_up: Duration::ZERO, ..plan } } else { plan };
        let plan = Plan { measured: Duration::from_secs(3600), ..plan };
        let report = run_resp(look_up(&[address]).unwrap(), plan, |progress| {
            if progress.phase == phase { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match report {
            Ok(report) => assert!(ended && report.errors.total() == 0),
            Err(why) => assert!(!ended && why.kind() == std::io::ErrorKind::Interrupted, "{why}"),
        }
        // Nothing is on its way any more: what is deleted now stays so.
        map.lock().unwrap().clear();
        std::thread::sleep(Duration::from_millis(50));
        assert!(map.lock().unwrap().is_empty());
    }
}
