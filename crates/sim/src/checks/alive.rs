//! Liveness: after the chaos a majority is healed; then every operation ends in time, and those that were asked of the
//! healed cluster do what they were asked.

use crate::history::{ClientAnswer, OperationRecord};

/// What the check must know of the world.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// Virtual time now.
    pub now: u64,
    /// No operation may take longer, in nanoseconds.
    pub limit: u64,
    /// Clients from this one on asked a healed cluster.
    pub last_clients: u32,
}

/// The first operation that has not ended, or that a healed cluster did not carry out.
///
/// # Errors
/// Which, and what it came to.
pub fn check(records: &[OperationRecord], deadline: Deadline) -> Result<(), String> {
    for (index, record) in records.iter().enumerate() {
        let healed = record.client >= deadline.last_clients;
        let late = healed || record.invoked.0 + deadline.limit < deadline.now;
        match &record.answer {
            ClientAnswer::Pending if late => {
                return Err(format!("operation {index} ({}) has not ended", record.text()));
            }
            ClientAnswer::Refused(why) | ClientAnswer::Unknown(why) if healed => {
                let text = record.text();
                return Err(format!("operation {index} ({text}) failed on a healed cluster: {why}"));
            }
            _ => {}
        }
    }
    Ok(())
}
