//! An acknowledged write, or a newer one, is durable on a quorum at the moment of the answer: of a configuration in which it may have been answered.

use super::Conviction;
use abd::Version;

/// `suffice`: whether those who durably hold it are a quorum; so many there are.
///
/// # Errors
/// When they are none.
pub fn check(version: Version, suffice: bool, holders: usize) -> Result<(), Conviction> {
    if suffice {
        return Ok(());
    }
    let text = format!(
        "a client was told that {version} is written; it is durable on {holders}, which is no quorum"
    );
    Err(Conviction::new("an acknowledged write is on a majority", text))
}
