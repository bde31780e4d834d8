//! Liveness: after the chaos a majority is healed, and then every operation ends in time and does what it was asked.

use crate::history::{Answer, Record};

/// The first operation that has not ended, or that a healed cluster did not carry out.
pub fn check(records: &[Record], after_heal: usize) -> Result<(), String> {
    for (index, record) in records.iter().enumerate() {
        let what = || format!("operation {index} ({})", record.text());
        match &record.answer {
            Answer::Pending => return Err(format!("{} has not ended", what())),
            Answer::Refused(why) | Answer::Unknown(why) if index >= after_heal => {
                return Err(format!("{} failed on a healed cluster: {why}", what()));
            }
            _ => {}
        }
    }
    Ok(())
}
