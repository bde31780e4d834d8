//! A closed-loop load generator that is cheap enough to share a machine with the cluster it measures.
//!
//! Every client is one task with at most one batch of requests in flight; all of them run on one thread, so nothing
//! here is locked. The loop ([`run`]) knows nothing of a protocol: a [`Target`] opens a [`Link`], and a link
//! exchanges a batch of [`LoadRequest`]s for [`LoadAnswer`]s. [`Resp`] and, for clients that share connections, [`SharedResp`]
//! are those for this project's nodes; another system is measured with the same loop, the same keys and the same
//! bookkeeping by bringing its own link.
//!
//! What a closed loop cannot show: a client that waits sends nothing, so a pause is counted once for each client and
//! not once for each request that an open world would have sent meanwhile. That is why [`Report`] has the longest gap
//! beside the percentiles.

mod histogram;
mod plan;
mod recorder;
mod report;
mod resp;
mod run;
mod shared;
mod timeline;
mod workload;

#[cfg(test)]
mod tests;

pub use plan::{Plan, Random};
pub use recorder::Failure;
pub use report::{Errors, Fairness, KindReport, Report};
pub use resp::{Resp, RespLink, look_up, run_resp};
pub use run::{Link, LoadAnswer, Phase, Progress, Target, run};
pub use shared::{SharedLink, SharedResp};
pub use workload::{LoadRequest, Mix, Verb, Workload};
