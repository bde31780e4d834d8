//! Exit codes, what is printed, and whom they ask.

pub(crate) mod fake;

use super::arguments::Asked;
use super::report::Report;
use super::report::UNDECIDED;
use super::run::{Around, Change, change_words, run};
use super::table::table;
use crate::interrupt::Interrupt;
use crate::{Addresses, Failed};
use fake::{Answer, Fake};
use std::time::Duration;

fn asked(addresses: &[&str], json: bool) -> Asked {
    let addr = addresses.iter().map(|address| (*address).to_owned()).collect();
    Asked { addresses: Addresses { addr }, json }
}

/// What was printed, what progress was told, and how it ended.
struct Ran {
    out: String,
    progress: Vec<String>,
    ended: Result<(), Failed>,
}

impl Ran {
    fn code(&self) -> u8 {
        self.ended.as_ref().map_or_else(|why| why.code, |()| 0)
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.out.lines().count(), 1, "one object: {}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Replaces node 3. Another test of interrupts says when one comes.
fn replace_with(asked: &Asked, interrupt: Interrupt, mut told: impl FnMut(&str)) -> Ran {
    let words = ["REPLACE", "3", "d:7000"].map(str::to_owned).to_vec();
    let change = Change { name: "replace", words, leaves: &[3], asked };
    let (mut out, mut progress) = (String::new(), Vec::new());
    let around = Around {
        out: &mut |text| {
            out.push_str(text);
            Ok(())
        },
        progress: &mut |line| {
            told(line);
            progress.push(line.to_owned());
        },
        interrupt,
        silence: Duration::from_millis(300),
    };
    let ended = run(&change, around);
    Ran { out, progress, ended }
}

fn replace(asked: &Asked) -> Ran {
    replace_with(asked, Interrupt::default(), |_| {})
}

/// Nothing listens on port 1.
const DOWN: &str = "127.0.0.1:1";

fn told(result: &str, epoch: u32, stage: &str) -> Answer {
    Ok(format!(
        r#"{{"result":"{result}","epoch":{epoch},"stage":"{stage}","nodes":[{{"id":4,"address":"d:7000","command":"atomic-kv serve …"}}],"later":1}}"#
    ))
}

fn members(ids: &[u32], synced: bool) -> String {
    let one = |id: &u32| {
        format!(
            r#"{{"id":{id},"address":"h{id}:1","directory":"{id:032}","up":true,"votes":true,"synced":{synced},"behind_keys":7,"behind_seconds":3,"lost_ranges":0,"heals":false}}"#
        )
    };
    ids.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The node that is asked goes with the change, and is gone before it tells that it is through.
#[test]
fn whoever_is_named_is_asked_when_the_node_is_gone() {
    let stays = Fake::with(&[listed(4, "stable", &[1, 2, 4], None)]);
    let mut joint = listed(3, "joint", &[1, 2, 3], Some(&[1, 2, 4])).unwrap();
    joint = joint.replacen(r#""up""#, &format!(r#""client":"{}","up""#, stays.address), 1);
    let goes = Fake::with(&[told("begun", 3, "joint"), Ok(joint), Err("NOQUORUM gone".to_owned())]);
    let ran = replace(&asked(&[&goes.address], true));
    assert_eq!((ran.code(), ran.json()["epoch"].as_u64()), (0, Some(4)), "{:?}", ran.ended);
    // It may be gone at once.
    let stays = Fake::with(&[listed(4, "stable", &[1, 2, 4], None)]);
    let begun = told("begun", 3, "joint").unwrap();
    let begun = begun.replace(r#""later":1"#, &format!(r#""clients":["{}"]"#, stays.address));
    let goes = Fake::with(&[Ok(begun), Err("NOQUORUM gone".to_owned())]);
    assert_eq!(replace(&asked(&[&goes.address], true)).code(), 0);
}

/// Whoever has decided the only step of a change installs it a moment later.
#[test]
fn the_members_are_those_of_the_epoch_that_was_decided() {
    let before = listed(1, "stable", &[1, 2, 3], None);
    let node = Fake::with(&[told("done", 2, "stable"), before, listed(2, "stable", &[1, 2, 4], None)]);
    let ran = replace(&asked(&[&node.address], true));
    assert_eq!((ran.code(), ran.json()["members"].clone()), (0, serde_json::json!([1, 2, 4])));
}

fn listed(epoch: u32, stage: &str, ids: &[u32], next: Option<&[u32]>) -> Answer {
    let next = next.map_or("null".to_owned(), |ids| format!("[{}]", members(ids, false)));
    Ok(format!(
        r#"{{"node":1,"epoch":{epoch},"stage":"{stage}","level":1,"next_id":5,"members":[{}],"next":{next},"waits_for":"something","to_start":[]}}"#,
        members(ids, false)
    ))
}

#[test]
fn a_change_is_followed_to_its_end() {
    let node = Fake::with(&[
        told("begun", 2, "awaiting"),
        // A node that has not heard of it yet.
        listed(1, "stable", &[1, 2, 3], None),
        listed(2, "awaiting", &[1, 2, 3], Some(&[1, 2, 4])),
        listed(3, "joint", &[1, 2, 3], Some(&[1, 2, 4])),
        listed(4, "stable", &[1, 2, 4], None),
    ]);
    let ran = replace(&asked(&[DOWN, &node.address], true));
    assert_eq!(ran.code(), 0, "{:?}", ran.ended);
    let expected = serde_json::json!({
        "command": "replace", "result": "done", "reason": null, "epoch": 4, "members": [1, 2, 4],
        "nodes": [{"id": 4, "address": "d:7000", "command": "atomic-kv serve …"}]
    });
    assert_eq!(ran.json(), expected);
    assert!(
        ran.progress.iter().any(|line| line.starts_with("node 4 is to come at d:7000; start it: atomic-kv"))
    );
    let joint = "epoch 3, joint: something, node 1 lacks about 7 keys, node 2 lacks about 7 keys, node 4 lacks about 7 keys";
    assert!(ran.progress.iter().any(|line| line == joint), "{:?}", ran.progress);
    assert_eq!(node.asked()[0], "MEMBERS REPLACE 3 d:7000");
    assert!(node.asked()[1..].iter().all(|command| command == "MEMBERS LIST"));
}

#[test]
fn people_are_told_the_new_id_and_what_to_start() {
    let node = Fake::with(&[told("under way", 3, "joint"), listed(4, "stable", &[1, 2, 4], None)]);
    let ran = replace(&asked(&[&node.address], false));
    assert_eq!(
        ran.out,
        "node 4 is to come at d:7000; start it: atomic-kv serve …\ndone in epoch 4: the members are 1, 2, 4\n"
    );
    // It is through already: nothing is to be started.
    let node = Fake::with(&[told("done", 4, "stable"), listed(4, "stable", &[1, 2, 4], None)]);
    let ran = replace(&asked(&[&node.address], false));
    assert_eq!((ran.code(), ran.out.as_str()), (0, "done in epoch 4: the members are 1, 2, 4\n"));
}

#[test]
fn a_refusal_is_exit_code_1_with_its_reason() {
    let node = Fake::with(&[Err("REFUSED there is no node 3".to_owned())]);
    let ran = replace(&asked(&[&node.address], true));
    assert_eq!((ran.code(), ran.json()["result"].as_str()), (1, Some("refused")));
    assert_eq!(ran.json()["reason"], "there is no node 3");
    assert_eq!(ran.ended.unwrap_err().message, "there is no node 3");
    // Somebody has given it up meanwhile.
    let node = Fake::with(&[told("begun", 2, "awaiting"), listed(3, "stable", &[1, 2, 3], None)]);
    let ran = replace(&asked(&[&node.address], true));
    assert_eq!((ran.code(), ran.json()["result"].as_str()), (1, Some("refused")));
    assert!(ran.ended.unwrap_err().message.contains("given up"));
    // An older release.
    let node = Fake::with(&[Err("ERR unknown command 'MEMBERS', with args beginning with:".to_owned())]);
    assert_eq!(replace(&asked(&[&node.address], true)).code(), 1);
}

#[test]
fn the_next_node_is_asked_whatever_has_become_of_the_last_one() {
    for bad in ["NOQUORUM no effect: alone", "INDETERMINATE nobody knows", "ERR unknown command 'MEMBERS'"] {
        let first = Fake::with(&[Err(bad.to_owned())]);
        let second = Fake::with(&[told("done", 4, "stable"), listed(4, "stable", &[1, 2, 4], None)]);
        let ran = replace(&asked(&[DOWN, &first.address, &second.address], false));
        assert_eq!(ran.code(), 0, "{bad}");
        // Where was answered is where is asked next.
        assert_eq!((first.asked().len(), second.asked().len()), (1, 2));
    }
}

#[test]
fn what_is_undecided_is_exit_code_3() {
    for refusal in ["NOQUORUM no effect: alone", "INDETERMINATE nobody knows"] {
        let node = Fake::with(&[Err(refusal.to_owned())]);
        let ran = replace(&asked(&[&node.address, DOWN], true));
        assert_eq!((ran.code(), ran.json()["result"].as_str()), (UNDECIDED, Some("undecided")));
        assert!(ran.json()["reason"].as_str().unwrap().contains(refusal));
    }
    assert_eq!(replace(&asked(&[DOWN], false)).code(), UNDECIDED);
    // It was begun, and nobody tells how it goes on.
    let node = Fake::with(&[told("begun", 2, "awaiting"), Err("NOQUORUM gone".to_owned())]);
    assert_eq!(replace(&asked(&[&node.address], true)).code(), UNDECIDED);
    let node = Fake::with(&[told("begun", 2, "awaiting"), listed(1, "stable", &[1, 2, 3], None)]);
    assert_eq!(replace(&asked(&[&node.address], true)).code(), UNDECIDED);
}

#[test]
fn who_interrupts_it_is_told_that_the_change_goes_on() {
    let node =
        Fake::with(&[told("begun", 2, "awaiting"), listed(2, "awaiting", &[1, 2, 3], Some(&[1, 2, 4]))]);
    let interrupt = Interrupt::default();
    let signal = interrupt.clone();
    let ran = replace_with(&asked(&[&node.address], true), interrupt, move |line| {
        if line.starts_with("epoch 2") {
            signal.pretend();
        }
    });
    assert_eq!((ran.code(), ran.json()["result"].as_str()), (UNDECIDED, Some("interrupted")));
    assert_eq!((ran.json()["epoch"].as_u64(), ran.json()["nodes"][0]["id"].as_u64()), (Some(2), Some(4)));
    assert!(ran.ended.unwrap_err().message.contains("repeat the command"));
}

#[test]
fn an_answer_that_is_none_is_no_success() {
    let node = Fake::with(&[Ok("{".to_owned())]);
    assert_eq!(replace(&asked(&[&node.address], false)).code(), 1);
}

#[test]
fn words_of_a_change() {
    let addresses = ["a:1".to_owned(), "b:1".to_owned()];
    assert_eq!(change_words(&addresses, &[], false).join(" "), "ADD a:1 b:1");
    assert_eq!(change_words(&addresses, &[3, 4], true).join(" "), "ADD a:1 b:1 REMOVE 3 4 EVEN");
    assert_eq!(change_words(&[], &[3, 4], false).join(" "), "REMOVE 3 4");
}

#[test]
fn the_table_has_everybody() {
    let read = |answer: Answer| serde_json::from_str::<Report>(&answer.unwrap()).unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = table(&read(listed(3, "joint", &[1, 2], Some(&[1, 4]))));
    let lines: Vec<String> = text.lines().map(words).collect();
    assert_eq!(lines[0], "epoch 3, joint");
    assert!(lines.contains(&"2 h2:1 yes yes no 7 keys, 3 s - 00000000".to_owned()), "{text}");
    assert!(lines.contains(&"4 h4:1 yes yes no 7 keys, 3 s - 00000000".to_owned()), "{text}");
    assert!(text.ends_with("something\n"));
    assert!(table(&read(listed(4, "stable", &[1], None))).contains(" - "), "nobody has to be synced");
}
