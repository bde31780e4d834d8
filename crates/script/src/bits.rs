//! The library `bit`: 32 bits, as LuaJIT's BitOp has them.

use crate::arguments::Arguments;
use mlua::{Lua, MultiValue, Result, Table};

pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let bit = lua.create_table()?;
    let add = |name: &str, operation: fn(&Arguments<'_>) -> Result<u32>| {
        let function = move |lua: &Lua, values: MultiValue| {
            let bits = operation(&Arguments::new(lua, values))?;
            Ok(f64::from(bits.cast_signed()))
        };
        bit.raw_set(name, lua.create_function(function)?)
    };
    add("tobit", |arguments| operand(arguments, 1))?;
    add("bnot", |arguments| operand(arguments, 1).map(|bits| !bits))?;
    add("bswap", |arguments| operand(arguments, 1).map(u32::swap_bytes))?;
    add("band", |arguments| fold(arguments, |a, b| a & b))?;
    add("bor", |arguments| fold(arguments, |a, b| a | b))?;
    add("bxor", |arguments| fold(arguments, |a, b| a ^ b))?;
    add("lshift", |arguments| shift(arguments, |bits, by| bits << by))?;
    add("rshift", |arguments| shift(arguments, |bits, by| bits >> by))?;
    add("arshift", |arguments| shift(arguments, |bits, by| (bits.cast_signed() >> by).cast_unsigned()))?;
    add("rol", |arguments| shift(arguments, u32::rotate_left))?;
    add("ror", |arguments| shift(arguments, u32::rotate_right))?;
    let hex = |lua: &Lua, values: MultiValue| tohex(&Arguments::new(lua, values));
    bit.raw_set("tohex", lua.create_function(hex)?)?;
    Ok(bit)
}

/// The argument as bits: rounded to the nearest integer, of which the low 32 bits count.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn operand(arguments: &Arguments<'_>, place: usize) -> Result<u32> {
    // The sum has the integer in the low bits of its mantissa.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let bits = |number: f64| (number + ROUND).to_bits() as u32;
    match arguments.number_if_any(place)? {
        Some(number) => Ok(bits(number)),
        None => Err(arguments.wrong_type(place, "number")),
    }
}

fn fold(arguments: &Arguments<'_>, operation: fn(u32, u32) -> u32) -> Result<u32> {
    let mut bits = operand(arguments, 1)?;
    for place in 2..=arguments.count() {
        bits = operation(bits, operand(arguments, place)?);
    }
    Ok(bits)
}

fn shift(arguments: &Arguments<'_>, operation: fn(u32, u32) -> u32) -> Result<u32> {
    Ok(operation(operand(arguments, 1)?, operand(arguments, 2)? & 31))
}

fn tohex(arguments: &Arguments<'_>) -> Result<String> {
    let bits = operand(arguments, 1)?;
    let count = if arguments.count() < 2 { 8 } else { operand(arguments, 2)?.cast_signed() };
    let digits = usize::try_from(count.unsigned_abs().min(8)).unwrap_or(8);
    let text = if count < 0 { format!("{bits:08X}") } else { format!("{bits:08x}") };
    Ok(text[8 - digits..].to_owned())
}
