//! What a match has captured, as values of Lua.

use super::pattern::{Capture, Matcher};
use super::place;
use mlua::{MultiValue, Result, Value};

/// All captures; the whole match, if it is given, where the pattern has none.
pub(super) fn captures(matcher: &Matcher<'_>, whole: Option<(usize, usize)>) -> Result<MultiValue> {
    match (matcher.captures(), whole) {
        ([], Some((from, end))) => Ok(MultiValue::from_iter([text(matcher, from, end)?])),
        (captures, _) => captures.iter().map(|capture| value(matcher, *capture)).collect(),
    }
}

/// One capture, counted from 0. The first is the whole match where the pattern has none.
pub(super) fn capture(matcher: &Matcher<'_>, number: usize, whole: (usize, usize)) -> Result<Value> {
    match matcher.captures().get(number) {
        Some(capture) => value(matcher, *capture),
        None if number == 0 => text(matcher, whole.0, whole.1),
        None => Err(matcher.fail("invalid capture index")),
    }
}

fn value(matcher: &Matcher<'_>, capture: Capture) -> Result<Value> {
    match capture {
        Capture::Text { from, end } => text(matcher, from, end),
        Capture::Place(at) => Ok(place(at)),
        Capture::Open { .. } => Err(matcher.fail("unfinished capture")),
    }
}

fn text(matcher: &Matcher<'_>, from: usize, end: usize) -> Result<Value> {
    Ok(Value::String(matcher.lua.create_string(&matcher.subject[from..end])?))
}
