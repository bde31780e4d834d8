//! A small directory in one file, for a repository. Files of a database are mostly zeros that are there in advance.

use bytes::{Buf, BufMut};
use std::path::{Path, PathBuf};

const BLOCK: usize = 512;

/// The files below a directory.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// All files of a directory: `path length u16 | path | length u64 | runs u32 | runs`, where a run is `blocks u32 | 0 | byte` for blocks
/// of 512 equal bytes, or `blocks u32 | 1 | bytes`.
pub(crate) fn pack(directory: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for file in files(directory) {
        let name = file.strip_prefix(directory).unwrap().to_str().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        out.put_u16(u16::try_from(name.len()).unwrap());
        out.put_slice(name.as_bytes());
        out.put_u64(bytes.len() as u64);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let same = |block: &[u8]| block.iter().all(|byte| *byte == block[0]).then_some(block[0]);
        let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
        let runs: Vec<&[&[u8]]> = blocks.chunk_by(|a, b| same(a) == same(b)).collect();
        out.put_u32(u32::try_from(runs.len()).unwrap());
        for run in runs {
            out.put_u32(u32::try_from(run.len()).unwrap());
            match same(run[0]) {
                Some(byte) => out.put_slice(&[0, byte]),
                None => {
                    out.put_u8(1);
                    run.iter().for_each(|block| out.put_slice(block));
                }
            }
        }
    }
    out
}

/// Makes the files of a directory; the inverse of [`pack`].
pub(crate) fn unpack(mut packed: &[u8], directory: &Path) {
    while packed.has_remaining() {
        let length = usize::from(packed.get_u16());
        let path = directory.join(std::str::from_utf8(&packed.copy_to_bytes(length)).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let length = usize::try_from(packed.get_u64()).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..packed.get_u32() {
            let size = packed.get_u32() as usize * BLOCK;
            match packed.get_u8() {
                0 => bytes.resize(bytes.len() + size, packed.get_u8()),
                _ => bytes.put_slice(&packed.copy_to_bytes(size)),
            }
        }
        bytes.truncate(length);
        std::fs::write(path, bytes).unwrap();
    }
}
