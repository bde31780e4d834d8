//! Rule E4: on a healed cluster what is due by every clock is gone within a bounded time, whether or not anybody reads it.

use bytes::Bytes;

/// The first key that a replica holds though it is due: keys, with the bytes of their values.
///
/// # Errors
/// Who holds what.
pub fn check(node: u32, due: Vec<(Bytes, usize)>) -> Result<(), String> {
    match due.first() {
        None => Ok(()),
        Some((key, _)) => {
            Err(format!("n{} never expires key \"{}\", which is due", node + 1, key.escape_ascii()))
        }
    }
}
