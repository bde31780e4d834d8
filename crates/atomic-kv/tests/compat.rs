//! COMPAT.md names every client library that is tried, with the version that is pinned and the flags that it needs.

use std::collections::{BTreeMap, BTreeSet};

/// The rows of the table of libraries: `packages` and `scripts` of each, as they stand there.
fn rows() -> Vec<[&'static str; 4]> {
    let compat = include_str!("../../../COMPAT.md");
    let section = compat.split("\n## Libraries\n").nth(1).expect("COMPAT.md has a section of libraries");
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        <[&str; 4]>::try_from(cells.get(..4)?).ok()
    };
    let table = section.lines().skip_while(|line| !line.starts_with("| library")).skip(2);
    table.take_while(|line| line.starts_with('|')).filter_map(cells).collect()
}

/// Package and version, as the files of the package managers pin them.
fn pinned() -> BTreeSet<(String, String)> {
    let python = include_str!("../../../tests/clients/python/requirements.txt");
    let python = python.split("\n\n").next().unwrap().lines().filter_map(|line| line.split_once("=="));
    let node = include_str!("../../../tests/clients/node/package.json");
    let node = node.split("\"dependencies\": {\n").nth(1).unwrap().lines().filter_map(|line| {
        let (name, version) = line.trim().trim_end_matches(',').split_once(": ")?;
        Some((name.trim_matches('"'), version.trim_matches('"')))
    });
    // An alias says after `npm:` what it stands for.
    let node = node.map(|(name, version)| {
        version.strip_prefix("npm:").map_or((name, version), |real| real.rsplit_once('@').unwrap())
    });
    let rust = include_str!("../../../tests/clients/rust/Cargo.toml").lines().filter_map(|line| {
        let (name, rest) = line.split_once(" = { version = \"=")?;
        Some((name, rest.split('"').next()?))
    });
    python.chain(node).chain(rust).map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

#[test]
fn compat_has_the_libraries_that_are_tried_with_their_versions() {
    let mut listed = BTreeSet::new();
    for [_, packages, scripts, _] in rows() {
        // Debian pins what it ships.
        if scripts.contains("`php/") || scripts.contains("`ruby/") || scripts.contains("`go/") {
            continue;
        }
        for package in packages.split(", ") {
            let (name, version) = package.strip_prefix('`').unwrap().split_once("` ").unwrap();
            listed.insert((name.to_owned(), version.to_owned()));
        }
    }
    assert_eq!(listed, pinned());
}

#[test]
fn compat_has_the_scripts_that_are_run_and_the_flags_that_they_need() {
    let run = include_str!("../../../tests/clients/run");
    let table = run.split("\nscripts='\n").nth(1).unwrap().split("\n'\n").next().unwrap();
    let run: BTreeMap<_, _> = table
        .lines()
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .map(|(name, flags)| (name, flags.trim()))
        // It compares commands, and is no library.
        .filter(|(name, _)| *name != "python/differential")
        .collect();
    let mut listed = BTreeMap::new();
    for [_, _, scripts, flags] in rows() {
        for script in scripts.split(", ") {
            listed.insert(script.trim_matches('`'), flags.trim_matches('`'));
        }
    }
    assert_eq!(listed, run);
}
