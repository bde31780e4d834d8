//! Rule B1: what others send does not make a node grow without bound.

use super::Conviction;

/// A node took something more although it had kept so many bytes `of` its kind.
pub fn check(node: u32, of: &str, kept: usize, bytes_max: usize) -> Result<(), Conviction> {
    if kept <= bytes_max {
        return Ok(());
    }
    let text = format!("n{} takes more {of}: it has {kept} bytes, and {bytes_max} are enough", node + 1);
    Err(Conviction::new("what a node keeps is bounded", text))
}
