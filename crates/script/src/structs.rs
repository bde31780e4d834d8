//! The library `struct`: numbers and strings as C lays them out.

use crate::arguments::{Arguments, Function, RESULTS_MAX, add_function};
use crate::numbers;
use crate::watch::Watch;
use mlua::{Lua, MultiValue, Result, Table, Value};
use std::rc::Rc;

/// Bytes that an integer may have.
const INTEGER_BYTES_MAX: usize = 32;

/// The largest alignment that a type of C has.
const ALIGNMENT_MAX: usize = 8;

/// Makes the module.
pub(crate) fn module(lua: &Lua, watch: &Rc<Watch>) -> Result<Table> {
    let module = lua.create_table()?;
    let add = |name: &str, function: Function| add_function(lua, &module, watch, name, function);
    let room = Rc::clone(watch);
    let packing = move |lua: &Lua, mut values: MultiValue| {
        // C's has its mark behind the arguments, and takes it for one that is nil.
        if !values.is_empty() {
            values.push_back(Value::Nil);
        }
        pack(&Arguments::new(lua, values), &room)
    };
    module.raw_set("pack", lua.create_function(packing)?)?;
    add("unpack", unpack)?;
    add("size", size)?;
    Ok(module)
}

/// Reads a format letter by letter.
struct Format<'a> {
    arguments: &'a Arguments<'a>,
    text: &'a [u8],
    at: usize,
    big: bool,
    alignment: usize,
}

/// A letter of the format, with the size that it has and the padding in front of it.
struct Item {
    letter: u8,
    size: usize,
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(arguments: &'a Arguments<'a>, text: &'a [u8]) -> Self {
        Self { arguments, text, at: 0, big: cfg!(target_endian = "big"), alignment: 1 }
    }

    /// A number in the format, or another one.
    fn number(&mut self, default: usize) -> Result<usize> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let mut number = 0_i32;
        for digit in &self.text[self.at..self.at + digits] {
            let next = number.checked_mul(10).and_then(|number| number.checked_add((digit - b'0').into()));
            number = next.ok_or_else(|| self.arguments.fail("integral size overflow"))?;
        }
        self.at += digits;
        Ok(usize::try_from(number).unwrap_or(0))
    }

    /// The next letter, at an offset of what is packed.
    fn next(&mut self, offset: usize) -> Result<Option<Item>> {
        let Some(letter) = self.text.get(self.at).copied().filter(|letter| *letter != 0) else {
            return Ok(None);
        };
        self.at += 1;
        let size = match letter {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_BYTES_MAX {
                    let text = format!("integral size {size} is larger than limit of {INTEGER_BYTES_MAX}");
                    return Err(self.arguments.fail(&text));
                }
                size
            }
            _ => 0,
        };
        let unit = size.min(self.alignment);
        let padding = match (size, letter) {
            (0, _) | (_, b'c') => 0,
            // As C computes it; a size that is no power of two pads in its own way.
            _ => unit.wrapping_sub(offset & (unit - 1)) & (unit - 1),
        };
        Ok(Some(Item { letter, size, padding }))
    }

    /// A letter that packs nothing.
    fn control(&mut self, letter: u8) -> Result<()> {
        match letter {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                let alignment = self.number(ALIGNMENT_MAX)?;
                if !alignment.is_power_of_two() {
                    let text = format!("alignment {alignment} is not a power of 2");
                    return Err(self.arguments.fail(&text));
                }
                self.alignment = alignment;
            }
            _ => {
                let letter = char::from(letter);
                return Err(self.arguments.bad(1, &format!("invalid format option '{letter}'")));
            }
        }
        Ok(())
    }

    /// Bytes in the order that the format asks for, from the order of small ends.
    fn ordered(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.big {
            bytes.reverse();
        }
        bytes
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as in C")]
fn pack(arguments: &Arguments<'_>, watch: &Watch) -> Result<MultiValue> {
    let text = arguments.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(arguments, &text);
    let (mut out, mut place) = (Vec::new(), 2);
    while let Some(Item { letter, size, padding }) = format.next(out.len())? {
        watch.step()?;
        out.resize(out.len() + padding, 0);
        match letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = arguments.number(place)?;
                let bits = if number < 0.0 { numbers::to_i64(number).cast_unsigned() } else { number as u64 };
                let mut bytes = bits.to_le_bytes().to_vec();
                bytes.resize(size, 0);
                out.extend(format.ordered(bytes));
                place += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                out.extend(format.ordered((arguments.number(place)? as f32).to_le_bytes().to_vec()));
                place += 1;
            }
            b'd' => {
                out.extend(format.ordered(arguments.number(place)?.to_le_bytes().to_vec()));
                place += 1;
            }
            b'c' | b's' => {
                let value = arguments.string(place)?;
                let value = value.as_bytes();
                place += 1;
                let size = if size == 0 { value.len() } else { size };
                if value.len() < size {
                    return Err(arguments.bad(place, "string too short"));
                }
                watch.fits(out.len() + size)?;
                watch.bytes(size)?;
                out.extend_from_slice(&value[..size]);
                if letter == b's' {
                    out.push(0);
                }
            }
            control => format.control(control)?,
        }
        watch.fits(out.len())?;
    }
    Ok(MultiValue::from_iter([Value::String(arguments.lua.create_string(out)?)]))
}

#[expect(clippy::cast_precision_loss, reason = "no text is as long as that")]
fn unpack(arguments: &Arguments<'_>, watch: &Watch) -> Result<MultiValue> {
    let (text, data) = (arguments.string(1)?, arguments.string(2)?);
    let (text, data) = (text.as_bytes(), data.as_bytes());
    let start = arguments.integer_or(3, 1)?;
    let Some(mut at) = usize::try_from(start).ok().and_then(|start| start.checked_sub(1)) else {
        return Err(arguments.bad(3, "offset must be 1 or greater"));
    };
    let short = || arguments.bad(2, "data string too short");
    let mut values: Vec<Value> = Vec::new();
    let mut format = Format::new(arguments, &text);
    while let Some(Item { letter, size, padding }) = format.next(at)? {
        watch.step()?;
        at = at.saturating_add(padding);
        let mut bytes = at.checked_add(size).and_then(|end| data.get(at..end)).ok_or_else(short)?;
        if values.len() >= RESULTS_MAX {
            return Err(arguments.fail("stack overflow (too many results)"));
        }
        match letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                values.push(Value::Number(integer(&format, bytes, letter.is_ascii_lowercase())));
            }
            b'x' => {}
            b'f' => {
                let bytes = format.ordered(bytes.to_vec()).try_into().unwrap_or_default();
                values.push(Value::Number(f32::from_le_bytes(bytes).into()));
            }
            b'd' => {
                let bytes = format.ordered(bytes.to_vec()).try_into().unwrap_or_default();
                values.push(Value::Number(f64::from_le_bytes(bytes)));
            }
            b'c' => {
                if size == 0 {
                    let previous = match values.pop() {
                        Some(value) => crate::arguments::number_of(arguments.lua, &value)?,
                        None => None,
                    };
                    let Some(length) = previous else {
                        return Err(arguments.fail("format 'c0' needs a previous size"));
                    };
                    let length = usize::try_from(numbers::to_i64(length)).unwrap_or(usize::MAX);
                    bytes = at.checked_add(length).and_then(|end| data.get(at..end)).ok_or_else(short)?;
                }
                watch.bytes(bytes.len())?;
                values.push(Value::String(arguments.lua.create_string(bytes)?));
                at += bytes.len() - size;
            }
            b's' => {
                let Some(length) = data[at..].iter().position(|byte| *byte == 0) else {
                    return Err(arguments.fail("unfinished string in data"));
                };
                watch.bytes(length)?;
                values.push(Value::String(arguments.lua.create_string(&data[at..at + length])?));
                at += length + 1;
            }
            control => format.control(control)?,
        }
        at += size;
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(values.into_iter().collect())
}

/// An integer of any size, of which the last 64 bits count.
#[expect(clippy::cast_precision_loss, reason = "all numbers of Lua are of this kind")]
fn integer(format: &Format<'_>, bytes: &[u8], signed: bool) -> f64 {
    let bytes = format.ordered(bytes.to_vec());
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(8) {
        number |= u64::from(*byte) << (8 * place);
    }
    if !signed {
        return number as f64;
    }
    if let size @ 1..8 = bytes.len() {
        let unused = 64 - 8 * u32::try_from(size).unwrap_or(8);
        return (number.cast_signed() << unused >> unused) as f64;
    }
    number.cast_signed() as f64
}

#[expect(clippy::cast_precision_loss, reason = "no format describes as much as that")]
fn size(arguments: &Arguments<'_>, watch: &Watch) -> Result<MultiValue> {
    let text = arguments.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(arguments, &text);
    let mut offset = 0_usize;
    while let Some(Item { letter, size, padding }) = format.next(offset)? {
        watch.step()?;
        if letter == b's' {
            return Err(arguments.bad(1, "option 's' has no fixed size"));
        }
        if letter == b'c' && size == 0 {
            return Err(arguments.bad(1, "option 'c0' has no fixed size"));
        }
        if !letter.is_ascii_alphanumeric() {
            format.control(letter)?;
        }
        offset = offset.saturating_add(padding).saturating_add(size);
    }
    Ok(MultiValue::from_iter([Value::Number(offset as f64)]))
}
