//! `status`: a line for each node.

use crate::Failed;
use crate::resp::{Client, Reply};
use comfy_table::{Table, presets};
use std::collections::HashMap;

/// Prints a table of the nodes.
///
/// # Errors
/// Exit code 1 when one of them cannot be reached.
pub fn run(addresses: &[String]) -> Result<(), Failed> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "address",
        "reachable",
        "node",
        "boot",
        "keys",
        "ready",
        "writable",
        "timestamps",
        "clock",
        "peers",
    ]);
    let mut unreachable = 0;
    for address in addresses {
        match info(address) {
            Ok(fields) => {
                let field = |name: &str| fields.get(name).cloned().unwrap_or_else(|| "?".to_owned());
                let yes = |name: &str| if field(name) == "1" { "yes".to_owned() } else { "no".to_owned() };
                table.add_row([
                    address.clone(),
                    "yes".to_owned(),
                    field("node_id"),
                    field("boot"),
                    field("keys"),
                    yes("ready"),
                    yes("writable"),
                    field("timestamps"),
                    field("clock"),
                    field("peers"),
                ]);
            }
            Err(why) => {
                unreachable += 1;
                table.add_row([address.clone(), format!("no: {why}")]);
            }
        }
    }
    println!("{table}");
    if unreachable > 0 {
        return Err(Failed::runtime(format!("{unreachable} of {} nodes cannot be reached", addresses.len())));
    }
    Ok(())
}

fn info(address: &str) -> std::io::Result<HashMap<String, String>> {
    match Client::connect(address)?.call(&[b"INFO"])? {
        Reply::Bulk(Some(text)) => Ok(String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()),
        other => Err(std::io::Error::other(format!("INFO answered {other:?}"))),
    }
}
