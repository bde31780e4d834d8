//! The whole loop against small servers of its own.

use super::{Phase, Plan, Report, Workload, look_up, run_resp};
use crate::resp::{Decoded, ResponseRef, decode};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Map = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// Serves GET and SET on a free port; hangs up on a connection after so many requests.
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
            let mut map = map.lock().unwrap();
            match args.as_slice() {
                [_, key] => match map.get(key) {
                    Some(value) => {
                        out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                        out.extend_from_slice(value);
                        out.extend_from_slice(b"\r\n");
                    }
                    None => out.extend_from_slice(b"$-1\r\n"),
                },
                [_, key, value] => {
                    map.insert(key.clone(), value.clone());
                    let unlucky = key.ends_with(b"13");
                    out.extend_from_slice(if unlucky { b"-NOQUORUM unlucky\r\n" } else { b"+OK\r\n" });
                }
                _ => out.extend_from_slice(b"-ERR\r\n"),
            }
            input.drain(..length);
        }
        match (stream.write_all(&out), stream.read(&mut read)) {
            (Ok(()), Ok(count)) if count > 0 => input.extend_from_slice(&read[..count]),
            _ => return,
        }
        out.clear();
    }
}

fn plan() -> Plan {
    Plan {
        workload: Workload { keys: 10, value_size: 5000, reads: 50, hot: false },
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
    plan.workload.reads = 100;
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
    plan.workload.reads = 0;
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
    plan.workload.reads = 0;
    let report = measure(&[fickle, steady], plan);
    assert!(report.operations >= 400);
    assert!(report.errors.connection > 0, "connections broke");
    assert_eq!(report.errors.total(), report.errors.connection);
}

#[test]
fn refusals_are_counted_by_kind() {
    let (address, _) = server(usize::MAX);
    let mut plan = plan();
    plan.workload = Workload { keys: 20, reads: 0, ..plan.workload };
    plan.prefill = false;
    let report = measure(&[address], plan);
    assert!(report.errors.noquorum > 0);
    assert_eq!(report.errors.total(), report.errors.noquorum);
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
