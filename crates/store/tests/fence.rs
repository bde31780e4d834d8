//! What keeps another crate's life out of ours.

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
    assert!(naming[0].ends_with("store/src/engine/tables/lsm/library.rs"), "{naming:?}");
    let workspace = std::fs::read_to_string(here.join("../../Cargo.toml")).unwrap();
    let line = workspace.lines().find(|line| line.starts_with("lsm-tree")).unwrap();
    assert!(line.contains("version = \"="), "{line}");
}
