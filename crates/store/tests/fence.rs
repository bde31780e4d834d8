//! What keeps another crate's life out of ours, and each floor from those above it.

use std::path::{Path, PathBuf};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The engine relies on more of `lsm-tree` than its documentation promises, so one file names it, and its version is pinned.
#[test]
fn one_file_names_the_crate_of_the_tables_and_its_version_is_pinned() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = here.join("..");
    let names_it = |path: &PathBuf| std::fs::read_to_string(path).unwrap().contains("lsm_tree");
    let directories = std::fs::read_dir(&crates).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let naming: Vec<PathBuf> =
        directories.flat_map(|directory| sources(&directory)).filter(names_it).collect();
    assert_eq!(naming.len(), 1, "{naming:?}");
    assert!(naming[0].ends_with("store/src/disk/ground/tables/lsm/library.rs"), "{naming:?}");
    let workspace = std::fs::read_to_string(here.join("../../Cargo.toml")).unwrap();
    let line = workspace.lines().find(|line| line.starts_with("lsm-tree")).unwrap();
    assert!(line.contains("version = \"="), "{line}");
}

/// What the sources of each floor must not name: what is above them, and what is beside them.
const FLOORS: [(&str, &[&str]); 7] = [
    ("files", &["database", "encoding", "damage", "disk", "memory", "versions"]),
    ("encoding", &["files", "damage", "disk", "memory", "versions"]),
    ("versions", &["files", "disk", "memory"]),
    ("memory.rs", &["files", "disk", "versions"]),
    ("disk", &["memory", "versions"]),
    ("disk/rounds", &["open", "options", "room", "tidy", "DiskDatabase", "DiskOptions"]),
    ("disk/ground", &["rounds", "open", "options", "room", "tidy", "DiskDatabase", "DiskOptions"]),
];

/// The paths that a source names, as words: in its `use` lines, which may be long, and wherever else one begins with `crate` or
/// `super`. Comments and tests may name anything.
fn named(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let (mut words, mut in_use) = (Vec::new(), false);
    for line in code {
        let begins = line.trim_start().trim_start_matches("pub").trim_start_matches("(crate)").trim_start();
        in_use |= begins.starts_with("use ");
        for path in line.split(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter))) {
            if in_use || path.starts_with("crate::") || path.starts_with("super::") {
                words.extend(path.split("::").filter(|word| !word.is_empty()));
            }
        }
        in_use &= !line.ends_with(';');
    }
    words
}

#[test]
fn each_floor_names_only_those_below_it() {
    let example = "pub use a::{b,\n    c};\nlet d = crate::e::f(g::h);\n// crate::i";
    assert_eq!(named(example), ["pub", "use", "a", "b", "c", "crate", "e", "f"]);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (floor, above) in FLOORS {
        let path = here.join(floor);
        let files = if path.is_dir() { sources(&path) } else { vec![path] };
        assert!(!files.is_empty());
        let is_test = |file: &&PathBuf| file.iter().any(|part| part == "tests" || part == "tests.rs");
        for file in files.iter().filter(|file| !is_test(file)) {
            let source = std::fs::read_to_string(file).unwrap();
            let wrong: Vec<&str> = named(&source).into_iter().filter(|word| above.contains(word)).collect();
            assert!(wrong.is_empty(), "{} names {wrong:?}", file.display());
        }
    }
}
