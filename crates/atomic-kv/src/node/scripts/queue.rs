//! What waits for the threads of scripts: a queue of each event loop, bounded by number and by bytes. They take turns.

use abd::Evaluation;
use std::collections::VecDeque;
use std::time::Instant;

/// Evaluations of one event loop that may wait: as many as it has operations in flight.
const WAITING_MAX: usize = 2048;

/// What they hold, in bytes; a larger one may wait alone.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The queues of all event loops.
pub(super) struct Queue {
    loops: Box<[Waiting]>,
    /// The event loop that had the last turn.
    turn: usize,
    pub(super) is_closed: bool,
}

/// What waits of one event loop.
#[derive(Default)]
struct Waiting {
    evaluations: VecDeque<Job>,
    bytes: usize,
}

/// An evaluation, and what it holds.
pub(super) struct Job {
    pub(super) evaluation: Evaluation,
    bytes: usize,
    /// When it began to wait.
    pub(super) handed_over: Instant,
}

impl Waiting {
    /// Lets an evaluation wait, or gives it back.
    fn push(&mut self, evaluation: Evaluation, handed_over: Instant) -> Result<(), Evaluation> {
        let functions = evaluation.operations.iter().flatten();
        let bytes = functions.map(|function| function.encoded.len()).sum::<usize>()
            + evaluation.base.content.len()
            + evaluation.key.len();
        let is_full =
            self.evaluations.len() >= WAITING_MAX || self.bytes.saturating_add(bytes) > WAITING_BYTES_MAX;
        if is_full && !self.evaluations.is_empty() {
            return Err(evaluation);
        }
        self.bytes += bytes;
        self.evaluations.push_back(Job { evaluation, bytes, handed_over });
        Ok(())
    }
}

impl Queue {
    pub(super) fn new(loops: usize) -> Self {
        Self { loops: (0..loops).map(|_| Waiting::default()).collect(), turn: 0, is_closed: false }
    }

    /// Lets an evaluation of an event loop wait, or gives it back if too much waits there.
    pub(super) fn push(
        &mut self,
        index: usize,
        evaluation: Evaluation,
        handed_over: Instant,
    ) -> Result<(), Evaluation> {
        self.loops[index].push(evaluation, handed_over)
    }

    /// The oldest evaluation of the event loop whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(usize, Job)> {
        let count = self.loops.len();
        let index = (1..=count)
            .map(|step| (self.turn + step) % count)
            .find(|index| !self.loops[*index].evaluations.is_empty())?;
        self.turn = index;
        let waiting = &mut self.loops[index];
        let job = waiting.evaluations.pop_front()?;
        waiting.bytes -= job.bytes;
        Some((index, job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abd::{EvaluationId, Function, OperationId, StampedValue};
    use bytes::Bytes;

    fn evaluation(number: u64, function_bytes: usize) -> Evaluation {
        Evaluation {
            id: EvaluationId { operation: OperationId(number), phase: 0 },
            key: Bytes::new(),
            base: StampedValue::NEVER,
            operations: vec![vec![Function {
                encoded: vec![0; function_bytes].into(),
                always_changes: false,
            }]],
        }
    }

    fn popped(queue: &mut Queue) -> Option<(usize, u64)> {
        queue.pop().map(|(index, job)| (index, job.evaluation.id.operation.0))
    }

    #[test]
    fn event_loops_take_turns() {
        let mut queue = Queue::new(3);
        let now = Instant::now();
        for (index, number) in [(0, 1), (0, 2), (0, 3), (2, 4), (2, 5)] {
            queue.push(index, evaluation(number, 0), now).unwrap();
        }
        let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue)).collect();
        assert_eq!(order, [(2, 4), (0, 1), (2, 5), (0, 2), (0, 3)]);
    }

    #[test]
    fn what_waits_is_bounded_by_number() {
        let mut queue = Queue::new(2);
        let now = Instant::now();
        for number in 0..WAITING_MAX as u64 {
            queue.push(0, evaluation(number, 0), now).unwrap();
        }
        assert_eq!(queue.push(0, evaluation(7, 0), now), Err(evaluation(7, 0)));
        queue.push(1, evaluation(7, 0), now).unwrap();
        assert_eq!(popped(&mut queue), Some((1, 7)));
        assert_eq!(popped(&mut queue), Some((0, 0)));
        queue.push(0, evaluation(8, 0), now).unwrap();
    }

    #[test]
    fn what_waits_is_bounded_by_bytes() {
        let mut queue = Queue::new(1);
        let now = Instant::now();
        let half = WAITING_BYTES_MAX / 2;
        for number in 0..2 {
            queue.push(0, evaluation(number, half), now).unwrap();
        }
        assert!(queue.push(0, evaluation(2, 1), now).is_err());
        queue.pop();
        queue.push(0, evaluation(2, half), now).unwrap();
        queue.pop();
        queue.pop();
        // One that is too large alone waits alone.
        queue.push(0, evaluation(3, WAITING_BYTES_MAX + 1), now).unwrap();
        assert!(queue.push(0, evaluation(4, 0), now).is_err());
    }
}
