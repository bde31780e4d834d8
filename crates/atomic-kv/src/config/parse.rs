//! What the text of a setting means.

use crate::fatal::Fatal;
use ::node::endpoint::Endpoint;
use abd::TimestampMode;
use abd::quorum::MEMBERS_MAX;
use std::time::Duration;

/// Exit code 2 with one line, unless it is as it must be.
pub(super) fn check(is_right: bool, wrong: impl FnOnce() -> String) -> Result<(), Fatal> {
    if is_right { Ok(()) } else { Err(Fatal::usage(wrong())) }
}

pub(crate) fn required<T>(value: Option<T>, flag: &str) -> Result<T, Fatal> {
    value.ok_or_else(|| {
        Fatal::usage(format!(
            "{flag} is missing; give it as a flag, in the environment or in --config (see --help)"
        ))
    })
}

/// A node has to be one of the members.
///
/// # Errors
/// Exit code 2 when it is not.
pub(crate) fn check_listed(node_id: u32, cluster: &[(u32, String)]) -> Result<(), Fatal> {
    check(cluster.iter().any(|(id, _)| *id == node_id), || {
        format!("--node-id {node_id} is not in --cluster; add it or correct the id")
    })
}

/// What a setting that has names for its choices says, or its default.
pub(super) fn choice<T: Default>(
    flag: &str,
    text: Option<String>,
    named: fn(&str) -> Option<T>,
    choices: &str,
) -> Result<T, Fatal> {
    text.map_or(Ok(T::default()), |text| {
        named(&text)
            .ok_or_else(|| Fatal::usage(format!("{flag} \"{text}\" is none of its choices: {choices}")))
    })
}

pub(super) fn check_address(flag: &str, text: String) -> Result<String, Fatal> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text),
        _ => Err(Fatal::usage(format!("{flag}: \"{text}\" is not HOST:PORT"))),
    }
}

pub(super) fn parse_announce(text: String) -> Result<Endpoint, Fatal> {
    Endpoint::parse(&text).ok_or_else(|| {
        Fatal::usage(format!("--announce: \"{text}\" is not a HOST:PORT that clients can reach"))
    })
}

/// Reads `1=HOST:PORT,2=HOST:PORT`.
///
/// # Errors
/// Exit code 2 for anything else, an id twice, or a count outside 1 to 7.
pub fn parse_cluster(text: &str) -> Result<Vec<(u32, String)>, Fatal> {
    let mut cluster: Vec<(u32, String)> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let wrong =
            || Fatal::usage(format!("--cluster: \"{entry}\" is not ID=HOST:PORT with an ID of at least 1"));
        let (id, address) = entry.split_once('=').ok_or_else(wrong)?;
        let id: u32 = id.trim().parse().ok().filter(|id| *id > 0).ok_or_else(wrong)?;
        cluster.push((id, check_address("--cluster", address.trim().to_owned())?));
    }
    cluster.sort();
    check(cluster.windows(2).all(|pair| pair[0].0 != pair[1].0), || {
        "--cluster lists a node id twice".to_owned()
    })?;
    let mut addresses: Vec<&str> = cluster.iter().map(|(_, address)| address.as_str()).collect();
    addresses.sort_unstable();
    if let Some(pair) = addresses.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Fatal::usage(format!(
            "--cluster gives {} to two nodes; each needs a peer address of its own",
            pair[0]
        )));
    }
    let count = cluster.len();
    check((1..=MEMBERS_MAX).contains(&count), || {
        format!("--cluster lists {count} nodes; 1 to {MEMBERS_MAX} are possible")
    })?;
    Ok(cluster)
}

/// Reads `logical` or `truetime`.
///
/// # Errors
/// Exit code 2 for anything else.
pub fn parse_timestamps(text: &str) -> Result<TimestampMode, Fatal> {
    match text {
        "logical" => Ok(TimestampMode::Logical),
        "truetime" => Ok(TimestampMode::TrueTime),
        _ => Err(Fatal::usage(format!("--timestamps \"{text}\" is neither logical nor truetime"))),
    }
}

/// Reads a positive duration such as `2ms`, `1.5s`, `100us`, `2m`.
///
/// # Errors
/// Exit code 2 for anything else.
pub fn parse_duration(flag: &str, text: &str) -> Result<Duration, Fatal> {
    let wrong = || Fatal::usage(format!("{flag}: \"{text}\" is not a duration such as 2ms, 1.5s or 100us"));
    let split = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ').ok_or_else(wrong)?;
    let number: f64 = text[..split].parse().map_err(|_| wrong())?;
    let unit = match &text[split..] {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * unit).ok().filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

/// Reads `HOST:PORT,HOST:PORT`.
///
/// # Errors
/// Exit code 2 for anything else.
pub(super) fn parse_addresses(flag: &str, text: &str) -> Result<Vec<String>, Fatal> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let addresses: Vec<String> =
        entries.map(|entry| check_address(flag, entry.to_owned())).collect::<Result<_, _>>()?;
    check(!addresses.is_empty(), || format!("{flag} \"{text}\" names nobody"))?;
    Ok(addresses)
}
