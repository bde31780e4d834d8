//! The functions of `string` that may work for long: Lua's own never ask whether the script may go on.

mod captures;
mod gsub;
mod pattern;

use crate::arguments::Arguments;
use crate::raised::Pending;
use crate::watch::Watch;
use captures::captures;
use mlua::{Function, Lua, MultiValue, Result, Table, Value};
use pattern::{Matcher, Pattern};
use std::cell::Cell;
use std::rc::Rc;

/// Replaces them in the library. `protected_call` is Lua's `pcall`.
pub(crate) fn install(
    lua: &Lua,
    string: &Table,
    watch: &Rc<Watch>,
    pending: &Pending,
    protected_call: &Function,
) -> Result<()> {
    let add = |name: &str, function: fn(&Arguments<'_>, &Rc<Watch>) -> Result<MultiValue>| {
        let watch = Rc::clone(watch);
        let call = move |lua: &Lua, values: MultiValue| function(&Arguments::new(lua, values), &watch);
        string.raw_set(name, lua.create_function(call)?)
    };
    add("find", |arguments, watch| find(arguments, watch, true))?;
    add("match", |arguments, watch| find(arguments, watch, false))?;
    add("gmatch", gmatch)?;
    add("gfind", gmatch)?;
    add("rep", repeat)?;
    add("upper", |arguments, watch| changed(arguments, watch, |text| text.to_ascii_uppercase()))?;
    add("lower", |arguments, watch| changed(arguments, watch, |text| text.to_ascii_lowercase()))?;
    add("reverse", |arguments, watch| {
        changed(arguments, watch, |text| text.iter().rev().copied().collect())
    })?;
    let replace = gsub::Gsub::new(watch, pending, protected_call);
    let gsub = move |lua: &Lua, values: MultiValue| replace.call(&Arguments::new(lua, values));
    string.raw_set("gsub", lua.create_function(gsub)?)
}

/// A place from 1, or from the end if it is negative, as an offset from 0. It may lie beyond the text.
fn offset(place: i64, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if place < 0 { place.saturating_add(length) } else { place.saturating_sub(1) };
    usize::try_from(from_start.clamp(0, length)).unwrap_or(0)
}

/// A place as scripts count.
#[expect(clippy::cast_precision_loss, reason = "no text is as long as that")]
fn place(offset: usize) -> Value {
    Value::Number((offset + 1) as f64)
}

fn find(arguments: &Arguments<'_>, watch: &Watch, is_find: bool) -> Result<MultiValue> {
    let (subject, pattern) = (arguments.string(1)?, arguments.string(2)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let start = offset(arguments.integer_or(3, 1)?, subject.len());
    let is_plain = !matches!(arguments.value(4), Value::Nil | Value::Boolean(false));
    if is_find && (is_plain || !pattern::has_specials(&pattern)) {
        return Ok(match search(&subject[start..], &pattern, watch)? {
            Some(at) => [place(start + at), last_place(start + at + pattern.len())].into_iter().collect(),
            None => MultiValue::from_iter([Value::Nil]),
        });
    }
    let (anchored, pattern) = Pattern::anchored(&pattern);
    let mut matcher = Matcher::new(arguments.lua, &subject, pattern, watch);
    let last = if anchored { start } else { subject.len() };
    for from in start..=last {
        if let Some(end) = matcher.at(from)? {
            let mut results = captures(&matcher, if is_find { None } else { Some((from, end)) })?;
            if is_find {
                results.push_front(last_place(end));
                results.push_front(place(from));
            }
            return Ok(results);
        }
    }
    Ok(MultiValue::from_iter([Value::Nil]))
}

/// The place before an offset.
#[expect(clippy::cast_precision_loss, reason = "no text is as long as that")]
fn last_place(end: usize) -> Value {
    Value::Number(end as f64)
}

/// Where one text begins in another. Both may be long, so it asks on its way.
fn search(text: &[u8], wanted: &[u8], watch: &Watch) -> Result<Option<usize>> {
    let Some(first) = wanted.first() else {
        return Ok(Some(0));
    };
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| byte == first) {
        let begin = from + at;
        let Some(candidate) = text.get(begin..begin + wanted.len()) else {
            return Ok(None);
        };
        if candidate == wanted {
            return Ok(Some(begin));
        }
        watch.steps(u32::try_from(1 + wanted.len() / 64).unwrap_or(u32::MAX))?;
        from = begin + 1;
    }
    Ok(None)
}

fn gmatch(arguments: &Arguments<'_>, watch: &Rc<Watch>) -> Result<MultiValue> {
    let (subject, pattern) = (arguments.string(1)?, arguments.string(2)?);
    let (watch, next) = (Rc::clone(watch), Cell::new(0));
    let iterator = arguments.lua.create_function(move |lua: &Lua, (): ()| {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let mut matcher = Matcher::new(lua, &subject, Pattern::new(&pattern), &watch);
        for from in next.get()..=subject.len() {
            if let Some(end) = matcher.at(from)? {
                next.set(if end == from { end + 1 } else { end });
                return captures(&matcher, Some((from, end)));
            }
        }
        next.set(subject.len() + 1);
        Ok(MultiValue::from_iter([Value::Nil]))
    })?;
    Ok(MultiValue::from_iter([Value::Function(iterator)]))
}

fn repeat(arguments: &Arguments<'_>, watch: &Rc<Watch>) -> Result<MultiValue> {
    let text = arguments.string(1)?;
    let count = usize::try_from(crate::numbers::to_i32(arguments.number(2)?)).unwrap_or(0);
    watch.fits(text.as_bytes().len().saturating_mul(count))?;
    watch.bytes(text.as_bytes().len().saturating_mul(count))?;
    let whole = text.as_bytes().repeat(if text.as_bytes().is_empty() { 0 } else { count });
    Ok(MultiValue::from_iter([Value::String(arguments.lua.create_string(whole)?)]))
}

/// A text as long as the one that was given.
fn changed(arguments: &Arguments<'_>, watch: &Watch, change: fn(&[u8]) -> Vec<u8>) -> Result<MultiValue> {
    let text = arguments.string(1)?;
    let text = text.as_bytes();
    watch.bytes(text.len())?;
    Ok(MultiValue::from_iter([Value::String(arguments.lua.create_string(change(&text))?)]))
}
