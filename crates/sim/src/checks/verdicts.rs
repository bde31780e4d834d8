//! Rule M1: a node ends for good only if something was done to its directory. Neither another one's trouble nor the word of
//! somebody who is no member takes it out of the cluster.

use super::Conviction;

/// What a node believes that refuses itself; `is_whole`: its directory is what it left there.
///
/// # Errors
/// When it has no reason to.
pub fn check(node: u32, is_whole: bool, why: &str) -> Result<(), Conviction> {
    if !is_whole {
        return Ok(());
    }
    let text = format!("n{} refuses itself for good although its directory is whole: {why}", node + 1);
    Err(Conviction::new("nobody ends for nothing", text))
}
