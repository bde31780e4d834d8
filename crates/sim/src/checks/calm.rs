//! Rule P3': what has become of an update stays unknown only where something fails.

use super::Conviction;
use crate::history::OperationRecord;

/// Of a run in which nothing goes wrong.
///
/// # Errors
/// The first update that its node could not tell the fate of.
pub fn check(records: &[OperationRecord]) -> Result<(), Conviction> {
    let unknown = |record: &OperationRecord| record.kind.is_update() && record.is_indeterminate();
    let Some((index, record)) = records.iter().enumerate().find(|(_, record)| unknown(record)) else {
        return Ok(());
    };
    let why = format!("{} is {}, and nothing has failed", record.text(), record.answer.text());
    let check = "nothing is unknown where nothing fails";
    Err(Conviction { operations: vec![index], ..Conviction::new(check, why) })
}
