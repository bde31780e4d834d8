//! Rule V1: whoever cannot show that he is the member that was met changes nothing of what is remembered of that member.

use super::Conviction;
use node::acquaintances::Acquaintances;

/// What a node remembers before and after somebody who is no member has greeted it as node `claimed`.
pub fn check(
    node: u32,
    claimed: u32,
    before: &Acquaintances,
    after: &Acquaintances,
) -> Result<(), Conviction> {
    if before == after {
        return Ok(());
    }
    let text = format!("n{} has taken a stranger for n{}", node + 1, claimed + 1);
    Err(Conviction::new("a stranger changes nothing", text))
}
