//! Clients that want the same thing at the same time, through all nodes: it is given to one of them.

use crate::support::client::{Connection, Response};
use crate::support::{Cluster, SEVERAL_LOOPS};
use std::collections::BTreeSet;
use std::time::Instant;

const CLIENTS: usize = 6;

/// Runs clients at the same time, spread over the nodes; what each has come to.
fn together<T: Send>(cluster: &Cluster, client: impl Fn(usize, Connection) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let client = &client;
        let running: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let connection = cluster.nodes[number % cluster.nodes.len()].connect();
                scope.spawn(move || client(number, connection))
            })
            .collect();
        running.into_iter().map(|running| running.join().unwrap()).collect()
    })
}

/// Whether a count says that the one key was deleted.
#[track_caller]
fn is_one(response: &Response) -> bool {
    match response {
        Response::Integer(count @ (0 | 1)) => *count == 1,
        other => panic!("no count of one key: {other:?}"),
    }
}

/// Whether an update answered OK; else nil.
#[track_caller]
fn is_ok(response: &Response) -> bool {
    match response {
        Response::Bulk(None) => false,
        other => {
            assert_eq!(*other, Response::ok());
            true
        }
    }
}

/// The version that `GETVER` tells, or an answer with `WITHVER`; and what comes before it.
#[track_caller]
fn with_version(response: Response) -> (Response, String) {
    let Response::Array(items) = response else { panic!("no pair: {response:?}") };
    let Ok([value, Response::Bulk(Some(version))]) = <[Response; 2]>::try_from(items) else {
        panic!("no version")
    };
    let version = String::from_utf8(version).unwrap();
    assert!(version.len() == 48 && version.bytes().all(|digit| digit.is_ascii_hexdigit()), "{version}");
    (value, version)
}

/// Values come by `SET NX` and go by `DEL`, `UNLINK`, `GETDEL` and `DELIFEQ`: each that has come goes once.
fn each_value_is_deleted_by_one_client(flags: &[&str]) {
    let cluster = Cluster::start(3, flags);
    let done = together(&cluster, |number, mut client| {
        let (mut came, mut counted, mut taken) = (BTreeSet::new(), 0, Vec::new());
        for round in 0..40 {
            let token = format!("{number}-{round}");
            if is_ok(&client.call(&format!("SET k {token} NX"))) {
                came.insert(token.clone());
            }
            match (number + round) % 4 {
                0 => match client.call("GETDEL k") {
                    Response::Bulk(value) => {
                        taken.extend(value.map(|value| String::from_utf8(value).unwrap()));
                    }
                    other => panic!("{other:?}"),
                },
                1 => counted += usize::from(is_one(&client.call("DEL k"))),
                2 => counted += usize::from(is_one(&client.call("UNLINK k"))),
                // What others write in the meantime stays.
                _ => taken.extend(is_one(&client.call(&format!("DELIFEQ k {token}"))).then_some(token)),
            }
        }
        (came, counted, taken)
    });
    let mut client = cluster.nodes[0].connect();
    let left = usize::from(is_one(&client.call("EXISTS k")));
    let came: BTreeSet<&String> = done.iter().flat_map(|(came, ..)| came).collect();
    let taken: Vec<&String> = done.iter().flat_map(|(.., taken)| taken).collect();
    let counted: usize = done.iter().map(|(_, counted, _)| counted).sum();
    assert!(taken.iter().all(|token| came.contains(token)), "{taken:?} of {came:?}");
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len(), "taken twice: {taken:?}");
    assert_eq!(came.len(), counted + taken.len() + left);
    // The cluster tells what is there as before.
    assert_eq!(is_one(&client.call("DEL k")), left == 1);
    assert!(!is_one(&client.call("DEL k")));
}

#[test]
fn each_value_is_deleted_by_one_client_logical() {
    each_value_is_deleted_by_one_client(&[]);
}

#[test]
fn each_value_is_deleted_by_one_client_truetime() {
    each_value_is_deleted_by_one_client(&["--timestamps", "truetime", "--clock-error", "1ms"]);
}

#[test]
fn each_value_is_deleted_by_one_client_several_loops() {
    each_value_is_deleted_by_one_client(SEVERAL_LOOPS);
}

/// `IFVER` is pinned: of all who have seen one version, one writes or deletes. 48 zeros stand for a key that was never written.
#[test]
fn one_client_goes_on_from_a_version() {
    let cluster = Cluster::start(3, &[]);
    let mut reader = cluster.nodes[0].connect();
    let (mut value, mut seen) = with_version(reader.call("GETVER k"));
    assert_eq!((value, &seen[..]), (Response::Bulk(None), &"0".repeat(48)[..]));
    for round in 0..20 {
        let deletes = round % 5 == 4;
        let won = together(&cluster, |number, mut client| match deletes {
            true => is_one(&client.call(&format!("DELEX k IFVER {seen}"))),
            false => is_ok(&client.call(&format!("SET k {number}-{round} IFVER {seen}"))),
        });
        let winners: Vec<usize> = (0..CLIENTS).filter(|number| won[*number]).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let before = seen;
        (value, seen) = with_version(reader.call("GETVER k"));
        assert!(seen > before, "{seen} after {before}");
        let written = (!deletes).then(|| format!("{}-{round}", winners[0]).into_bytes());
        assert_eq!(value, Response::Bulk(written), "round {round}");
    }
}

/// What `SET NX WITHVER` tells the holder of a lock is a fencing token: each holder's is above all that were told before.
#[test]
fn fencing_tokens_rise() {
    let cluster = Cluster::start(3, &[]);
    let epoch = Instant::now();
    let held = together(&cluster, |number, mut client| {
        let mut held = Vec::new();
        for round in 0..40 {
            let (invoke, owner) = (epoch.elapsed(), format!("{number}-{round}"));
            let (answer, version) = with_version(client.call(&format!("SET lock {owner} NX WITHVER")));
            let ret = epoch.elapsed();
            let is_held = is_ok(&answer);
            held.push((invoke, ret, version.clone(), is_held));
            if is_held {
                // Nobody else touches it, so it still has this version.
                assert!(is_one(&client.call(&format!("DELEX lock IFVER {version}"))));
            }
        }
        held
    })
    .concat();
    assert!(held.iter().any(|(.., is_held)| *is_held));
    let tokens = held.iter().filter_map(|(.., version, is_held)| is_held.then_some(version));
    let distinct: BTreeSet<_> = tokens.clone().collect();
    assert_eq!(distinct.len(), tokens.count(), "one token for two holders");
    for (invoke, _, later, is_held) in &held {
        for (_, ret, earlier, _) in held.iter().filter(|(_, ret, ..)| ret < invoke) {
            // Who did not get it is told a version that others may have been told, too.
            let rises = if *is_held { later > earlier } else { later >= earlier };
            assert!(rises, "{later} at {invoke:?}, but {earlier} at {ret:?}");
        }
    }
}
