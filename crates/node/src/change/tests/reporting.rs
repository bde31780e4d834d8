//! What tools read. They may rely on the names of fields.

use super::*;
use crate::endpoint::Endpoint;
use crate::topology::{Known, Topology};

#[test]
fn a_report_is_one_json_object() {
    let mut driver = driver(1, 3);
    down(&mut driver, 3, START);
    driver.handle_installed(&begun(&driver, &replace(3, "host4:1")), START);
    driver.handle_behind(NodeId(3), Behind { keys: 7, time: Duration::from_millis(2500) });
    // It pulls everything: what was missed since it came says nothing.
    driver.handle_behind(NodeId(4), Behind { keys: 50, time: Duration::ZERO });
    driver.handle_lost(NodeId(2), vec![Range::default()]);
    driver.handle_lost(NodeId(3), vec![]);
    let endpoint = Endpoint::parse("c3:6379");
    let known = |id| Known {
        id: NodeId(id),
        endpoint: endpoint.clone().filter(|_| id == 3),
        peer_port: 1,
        is_member: true,
        is_up: true,
    };
    let topology = Topology::new((1..=3).map(known).collect(), NodeId(1), true);
    let told = driver.report(START).with_clients(&topology);
    assert_eq!((told.epoch, told.stage, told.next_id), (2, "awaiting", 5));
    assert_eq!(told.waits_for, "waits for node 4 at host4:1");
    let command = "atomic-kv serve --join host1:1,host2:1 --peer-listen host4:1 --listen CLIENT-ADDRESS --data-dir EMPTY-DIRECTORY";
    assert_eq!((told.to_start[0].id, told.to_start[0].command.as_str()), (4, command));
    let read: serde_json::Value = serde_json::from_str(&told.json()).unwrap();
    let three = serde_json::json!({
        "id": 3, "address": "host3:1", "directory": "03030303", "client": "c3:6379", "up": false, "votes": true, "synced": false,
        "behind_keys": 7, "behind_seconds": 2, "lost_ranges": 0, "heals": false
    });
    assert_eq!(read["members"][2], three);
    assert_eq!(read["members"][1]["lost_ranges"], 1);
    let four = serde_json::json!({
        "id": 4, "address": "host4:1", "directory": null, "client": null, "up": false, "votes": false, "synced": false,
        "behind_keys": null, "behind_seconds": null, "lost_ranges": null, "heals": false
    });
    assert_eq!(read["next"][2], four);
}

#[test]
fn pairs_that_were_compared_are_those_of_members() {
    let mut driver = driver(1, 3);
    let compared = report::Compared { ranges: 100, differing: 2, passes: 3, seconds_ago: 9 };
    driver.handle_compared(NodeId(2), compared);
    driver.handle_compared(NodeId(9), compared);
    let expected = r#"{"node":1,"pairs":[{"with":2,"ranges":100,"differing":2,"passes":3,"seconds_ago":9}]}"#;
    assert_eq!(driver.compared().json(), expected);
}
