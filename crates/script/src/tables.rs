//! `table.insert`, `table.remove` and `table.foreachi`, for a table of few elements may say that its length is a thousand million,
//! and Lua's own go through all that; and `unpack`, for Lua's own does not see that a count is more than a number of C holds.

use crate::arguments::Arguments;
use crate::numbers;
use crate::raised::Raised;
use crate::sandbox::Locked;
use crate::watch::Watch;
use mlua::{Lua, MultiValue, Result, Table, Value};
use std::rc::Rc;

/// Values that `unpack` may answer; more do not fit the stack of Lua.
const RESULTS_MAX: i64 = 7990;

/// Replaces them.
pub(crate) fn install(
    lua: &Lua,
    table: &Table,
    globals: &Table,
    watch: &Rc<Watch>,
    locked: &Locked,
) -> Result<()> {
    let (asked, kept) = (Rc::clone(watch), locked.clone());
    let call = move |lua: &Lua, values: MultiValue| remove(&Arguments::new(lua, values), &asked, &kept);
    table.raw_set("remove", lua.create_function(call)?)?;
    let (watch, locked) = (Rc::clone(watch), locked.clone());
    let call = move |lua: &Lua, values: MultiValue| insert(&Arguments::new(lua, values), &watch, &locked);
    table.raw_set("insert", lua.create_function(call)?)?;
    let call = |lua: &Lua, values: MultiValue| unpack(&Arguments::new(lua, values));
    globals.raw_set("unpack", lua.create_function(call)?)
}

fn unpack(arguments: &Arguments<'_>) -> Result<MultiValue> {
    let Value::Table(table) = arguments.value(1) else {
        return Err(arguments.wrong_type(1, "table"));
    };
    let first = i64::from(numbers::to_i32(arguments.number_or(2, 1.0)?));
    let last = match arguments.is_nil(3) {
        true => i64::try_from(table.raw_len()).unwrap_or(i64::MAX),
        false => numbers::to_i32(arguments.number(3)?).into(),
    };
    if last - first >= RESULTS_MAX {
        return Err(arguments.fail("too many results to unpack"));
    }
    (first..=last).map(|place| table.raw_get(place)).collect()
}

fn insert(arguments: &Arguments<'_>, watch: &Watch, locked: &Locked) -> Result<()> {
    let Value::Table(table) = arguments.value(1) else {
        return Err(arguments.wrong_type(1, "table"));
    };
    if locked.holds(&table) {
        return Err(Raised::Text(crate::sandbox::READ_ONLY.to_owned()).into());
    }
    let end = table.raw_len() + 1;
    match arguments.count() {
        2 => table.raw_seti(end, arguments.value(2)),
        3 => {
            let place = usize::try_from(arguments.integer(2)?).unwrap_or(0);
            if place == 0 {
                return Err(arguments.bad(2, "position out of bounds"));
            }
            for at in (place + 1..=end).rev() {
                watch.step()?;
                table.raw_seti(at, table.raw_get::<Value>(at - 1)?)?;
            }
            table.raw_set(place, arguments.value(3))
        }
        _ => Err(arguments.fail("wrong number of arguments to 'insert'")),
    }
}

fn remove(arguments: &Arguments<'_>, watch: &Watch, locked: &Locked) -> Result<MultiValue> {
    let Value::Table(table) = arguments.value(1) else {
        return Err(arguments.wrong_type(1, "table"));
    };
    if locked.holds(&table) {
        return Err(Raised::Text(crate::sandbox::READ_ONLY.to_owned()).into());
    }
    let end = i64::try_from(table.raw_len()).unwrap_or(i64::MAX);
    let place = match arguments.is_nil(2) {
        true => end,
        false => numbers::to_i32(arguments.number(2)?).into(),
    };
    if !(1..=end).contains(&place) {
        return Ok(MultiValue::new());
    }
    let removed: Value = table.raw_get(place)?;
    for at in place..end {
        watch.step()?;
        table.raw_set(at, table.raw_get::<Value>(at + 1)?)?;
    }
    table.raw_set(end, Value::Nil)?;
    Ok(MultiValue::from_iter([removed]))
}
