//! `status`: a line for each node.

use crate::resp::{Client, Response};
use crate::{Addresses, Failed, print};
use clap::Args;
use comfy_table::{Table, presets};
use serde::Deserialize;
use std::collections::HashMap;

const EXIT_CODES: &str = "Exit codes: 0 every node is reached and ready, 1 a node cannot be reached, 2 wrong command line, 3 all are reached and \
     one is not ready.";

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct StatusArgs {
    /// Which nodes to ask.
    #[command(flatten)]
    pub addresses: Addresses,
    /// Also show what the nodes have compared of each other's replicas in the background: ranges of keys, and how many differed.
    #[arg(long)]
    pub deep: bool,
}

/// The columns that `INFO` has a field for, with that.
const COLUMNS: [(&str, &str); 8] = [
    ("node", "node_id"),
    ("boot", "boot"),
    ("keys, about", "keys_estimate"),
    ("ready", "ready"),
    ("writable", "writable"),
    ("timestamps", "timestamps"),
    ("clock", "clock"),
    ("peers", "peers"),
];

/// Prints a table of the nodes, and below why one is not ready.
///
/// # Errors
/// Exit code 1 when one of them cannot be reached, else 3 when one is not ready.
pub fn run(args: &StatusArgs) -> Result<(), Failed> {
    let addresses = &args.addresses.addr;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["address", "reachable"].into_iter().chain(COLUMNS.map(|(title, _)| title)));
    let (mut unreachable, mut unready) = (0, Vec::new());
    for address in addresses {
        match info(address) {
            Ok(fields) => {
                let shown = COLUMNS.map(|(_, name)| match (name, fields.get(name).map(String::as_str)) {
                    (_, None) => "?",
                    ("ready" | "writable", Some("1")) => "yes",
                    ("ready" | "writable", Some(_)) => "no",
                    (_, Some(value)) => value,
                });
                table.add_row([address.as_str(), "yes"].into_iter().chain(shown));
                if fields.get("ready").is_none_or(|ready| ready != "1") {
                    let why = fields.get("not_ready_because").map_or("it does not say why", String::as_str);
                    unready.push(format!("{address} is not ready: {why}"));
                }
            }
            Err(why) => {
                unreachable += 1;
                table.add_row([address.clone(), format!("no: {why}")]);
            }
        }
    }
    let lines = unready.iter().map(|line| format!("{line}\n"));
    let text = format!("{table}\n{}", lines.collect::<String>());
    print(text)?;
    if args.deep {
        print(format!("{}\n", pairs(addresses)))?;
    }
    let nodes = addresses.len();
    if unreachable > 0 {
        Err(Failed::runtime(format!("{unreachable} of {nodes} nodes cannot be reached")))
    } else if !unready.is_empty() {
        Err(Failed { code: 3, message: format!("{} of {nodes} nodes are not ready", unready.len()) })
    } else {
        Ok(())
    }
}

/// What `MEMBERS DEEP` answers.
#[derive(Deserialize)]
struct Comparisons {
    node: u32,
    pairs: Vec<Pair>,
}

/// A pair of replicas.
#[derive(Deserialize)]
struct Pair {
    with: u32,
    ranges: u64,
    differing: u64,
    passes: u64,
    seconds_ago: u64,
}

/// A line for each pair of replicas, as each side has compared it.
fn pairs(addresses: &[String]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["node", "with", "ranges compared", "differing", "passes", "last pass"]);
    for address in addresses {
        match comparisons(address) {
            Ok(Comparisons { node, pairs }) => {
                for Pair { with, ranges, differing, passes, seconds_ago } in pairs {
                    let ago = if passes > 0 { format!("{seconds_ago} s ago") } else { "-".to_owned() };
                    let numbers = [node.into(), with.into(), ranges, differing, passes]
                        .map(|number: u64| number.to_string());
                    table.add_row(numbers.into_iter().chain([ago]));
                }
            }
            Err(why) => _ = table.add_row([format!("{address}: {why}")]),
        }
    }
    table
}

fn comparisons(address: &str) -> std::io::Result<Comparisons> {
    match Client::connect(address)?.call(&[b"MEMBERS", b"DEEP"])? {
        Response::Bulk(Some(text)) => serde_json::from_slice(&text).map_err(std::io::Error::other),
        other => Err(std::io::Error::other(format!("MEMBERS DEEP answered {other:?}"))),
    }
}

fn info(address: &str) -> std::io::Result<HashMap<String, String>> {
    match Client::connect(address)?.call(&[b"INFO"])? {
        Response::Bulk(Some(text)) => Ok(String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()),
        other => Err(std::io::Error::other(format!("INFO answered {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::tests::fake::Fake;

    #[test]
    fn pairs_are_told_as_each_side_has_compared_them() {
        let pair = r#"{"with":2,"ranges":977,"differing":3,"passes":4,"seconds_ago":12}"#;
        let new = r#"{"with":3,"ranges":0,"differing":0,"passes":0,"seconds_ago":0}"#;
        let node = Fake::node(move |_| Ok(format!(r#"{{"node":1,"pairs":[{pair},{new}]}}"#)));
        let old = Fake::node(|_| Err("ERR unknown command 'MEMBERS'".to_owned()));
        let text = pairs(&[node.address.clone(), old.address.clone()]).to_string();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert!(lines.contains(&"1 2 977 3 4 12 s ago".to_owned()), "{text}");
        assert!(lines.contains(&"1 3 0 0 0 -".to_owned()), "{text}");
        assert!(text.contains("unknown command"), "{text}");
    }
}
