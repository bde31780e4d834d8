//! Evaluation: the functions of many operations, one after the other, on one base.

use super::answer::{FunctionAnswer, FunctionError};
use super::apply::{Circumstances, Held};
use super::{Function, Interpreter};
use abd::wire::WireError;
use abd::{Content, Evaluated, EvaluatedOperation, Evaluation, counted};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// When the answers of a fold have more bytes than this, the next operation is in the next fold: each may answer a whole value.
const ANSWER_BYTES: usize = 1 << 20;

/// What the functions of one operation may answer together, in bytes, unless two values are more. Beyond it none of them is done.
const OPERATION_ANSWER_BYTES: usize = 64 << 20;

/// Applies operations in their order to what the base holds, each to what those before it have left. An operation is taken whole, and
/// a function that fails in it changes nothing, whatever the others do.
///
/// All that changes in a fold gets one version. Who wants to know it wants it for itself: as the fencing token of a lock, or to set
/// on it later what it was told with it. So behind an operation that wants the version nothing changes any more: the fold ends
/// before the next one that would, and that one is the first of the next fold. An operation without functions is a Get that is told
/// what the key holds.
///
/// A base that has expired is absent to all of them, and its expiry is a change (rule E2).
///
/// `interpreter` runs scripts; without one they are unknown.
pub fn evaluate(
    evaluation: &Evaluation,
    circumstances: Circumstances,
    mut interpreter: Option<&mut dyn Interpreter>,
) -> Evaluated {
    let mut held = Held::from(&evaluation.base);
    let mut has_expired = held.expire(circumstances.moments.earliest);
    let mut operations = Vec::with_capacity(evaluation.operations.len());
    let (mut is_told, mut answer_bytes) = (false, 0);
    for functions in &evaluation.operations {
        let mut has_time = || interpreter.as_mut().is_none_or(|interpreter| interpreter.has_time());
        if answer_bytes > ANSWER_BYTES || !operations.is_empty() && !has_time() {
            break;
        }
        let functions: Vec<_> =
            functions.iter().map(|function| Function::decode(&function.encoded)).collect();
        // What is about to change may have to stay as it is.
        let before = is_told.then(|| held.clone());
        let expires = core::mem::take(&mut has_expired);
        let (answers, changed) =
            apply(&functions, &evaluation.key, &mut held, circumstances, &mut interpreter);
        let changes = expires | changed;
        if let Some(before) = before
            && changes
        {
            held = before;
            break;
        }
        is_told |= functions.is_empty() || functions.iter().flatten().any(Function::wants_version);
        answer_bytes += answers.iter().map(Bytes::len).sum::<usize>();
        operations.push(EvaluatedOperation { answers, changes });
    }
    let changes = operations.iter().any(|operation| operation.changes);
    let content = if changes { fitted(held.content) } else { held.content };
    Evaluated { operations, content, deadline: held.deadline }
}

/// The functions of one operation, one after the other: their answers, and whether any has changed the key.
fn apply(
    functions: &[Result<Function, WireError>],
    key: &Bytes,
    held: &mut Held,
    circumstances: Circumstances,
    interpreter: &mut Option<&mut dyn Interpreter>,
) -> (Vec<Bytes>, bool) {
    let bytes_max = OPERATION_ANSWER_BYTES.max(2 * circumstances.value_bytes_max);
    let mut before = (functions.len() > 1).then(|| held.clone());
    let (mut answers, mut changes) = (Vec::with_capacity(functions.len()), false);
    let (mut is_aborted, mut bytes) = (false, 0);
    for function in functions {
        let (answer, changed) = match (function, &mut *interpreter) {
            _ if is_aborted => (FunctionAnswer::Aborted, false),
            (Ok(Function::Script(script)), Some(interpreter)) => {
                interpreter.run(script, key, held, circumstances)
            }
            (Ok(function), _) => function.apply(held, circumstances),
            (Err(_), _) => (FunctionAnswer::Error(FunctionError::Unknown), false),
        };
        is_aborted |= answer == FunctionAnswer::Aborted;
        changes |= changed;
        let answer = answer.encode();
        bytes += answer.len();
        answers.push(answer);
        if bytes > bytes_max
            && let Some(before) = before.take()
        {
            // As if it had never begun.
            *held = before;
            let refused = FunctionAnswer::Error(FunctionError::AnswersTooLarge).encode();
            return (vec![refused; functions.len()], false);
        }
    }
    (answers, changes)
}

/// Without the room that a value has grown by while much was appended to it: it may be kept for long.
fn fitted(content: Content) -> Content {
    let Content::Value(value) = content else { return content };
    Content::Value(match value.try_into_mut() {
        Ok(value) if value.capacity() - value.len() > value.len() / 8 => counted::copied(&value),
        Ok(value) => value.freeze(),
        Err(shared) => shared,
    })
}
