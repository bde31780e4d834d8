//! `status`: a line for each node.

use crate::resp::{Client, Response};
use crate::{Addresses, Failed, print};
use clap::Args;
use comfy_table::{Table, presets};
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
    let nodes = addresses.len();
    if unreachable > 0 {
        Err(Failed::runtime(format!("{unreachable} of {nodes} nodes cannot be reached")))
    } else if !unready.is_empty() {
        Err(Failed { code: 3, message: format!("{} of {nodes} nodes are not ready", unready.len()) })
    } else {
        Ok(())
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
