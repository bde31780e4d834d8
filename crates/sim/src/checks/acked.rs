//! An acknowledged write, or a newer one, is durable on a majority at the moment of the answer.

use super::Conviction;
use abd::Version;

/// `held` says for every node what it durably holds of the key.
pub fn check(version: Version, majority: usize, held: &[Version]) -> Result<(), Conviction> {
    let holders = held.iter().filter(|held| **held >= version).count();
    if holders >= majority {
        return Ok(());
    }
    let text =
        format!("a client was told that {version} is written; it is durable on {holders}, not on {majority}");
    Err(Conviction::new("an acknowledged write is on a majority", text))
}
