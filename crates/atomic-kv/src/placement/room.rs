//! Which processor has more room.

use super::ProcessorTimes;

/// The processor that would be less loaded, with a thread that runs for a part `ran` of the time, than `here` is now.
pub(super) fn better(
    earlier: &[ProcessorTimes],
    now: &[ProcessorTimes],
    allowed: &[usize],
    here: usize,
    ran: f64,
) -> Option<usize> {
    let load = |number: usize| {
        let find = |times: &[ProcessorTimes]| times.binary_search_by_key(&number, |times| times.number).ok();
        let (from, to) = (&earlier[find(earlier)?], &now[find(now)?]);
        // The system's count of idle time may go back a little.
        let (busy, idle) = (to.busy.saturating_sub(from.busy), to.idle.saturating_sub(from.idle));
        (busy + idle > 0).then(|| busy as f64 / (busy + idle) as f64)
    };
    let loads = allowed.iter().filter(|number| **number != here);
    let loads = loads.filter_map(|number| Some((load(*number)?, *number)));
    let (least, number) = loads.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (least + ran < load(here)?).then_some(number)
}
