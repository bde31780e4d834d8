//! `math.random`: the generator of Redis, which goes on from script to script.

use crate::arguments::Arguments;
use crate::numbers;
use mlua::{Lua, MultiValue, Result, Value};
use std::cell::Cell;
use std::rc::Rc;

/// The generator of `drand48`.
#[derive(Clone)]
pub(crate) struct Random(Rc<State>);

struct State {
    /// Of the script that runs.
    now: Cell<u64>,
    /// From before the script set it, if it did.
    before: Cell<Option<u64>>,
}

const MULTIPLIER: u64 = 0x0005_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

impl Random {
    /// Begins with a state, of which 48 bits count.
    pub(crate) fn new(state: u64) -> Self {
        Self(Rc::new(State { now: Cell::new(state & MASK), before: Cell::new(None) }))
    }

    /// What a script has set is forgotten. Answers where to go on.
    pub(crate) fn end_of_script(&self) -> u64 {
        if let Some(state) = self.0.before.take() {
            self.0.now.set(next(state));
        }
        self.0.now.get()
    }

    fn seed(&self, seed: i32) {
        self.0.before.set(self.0.before.get().or(Some(self.0.now.get())));
        self.0.now.set((u64::from(seed.cast_unsigned()) << 16) | 0x330E);
    }

    /// The next number, 0 or more and less than 1.
    fn next(&self) -> f64 {
        const RANGE: u32 = i32::MAX.cast_unsigned();
        let state = next(self.0.now.get());
        self.0.now.set(state);
        let number = u32::try_from(state >> 17).unwrap_or(0);
        f64::from(number % RANGE) / f64::from(RANGE)
    }

    pub(crate) fn install(&self, lua: &Lua, math: &mlua::Table) -> Result<()> {
        let generator = self.clone();
        let random = move |lua: &Lua, values: MultiValue| generator.random(&Arguments::new(lua, values));
        math.raw_set("random", lua.create_function(random)?)?;
        let generator = self.clone();
        let seed = move |lua: &Lua, values: MultiValue| {
            generator.seed(numbers::to_i32(Arguments::new(lua, values).number(1)?));
            Ok(())
        };
        math.raw_set("randomseed", lua.create_function(seed)?)
    }

    fn random(&self, arguments: &Arguments<'_>) -> Result<Value> {
        let number = self.next();
        let bound = |place| arguments.number(place).map(|bound| f64::from(numbers::to_i32(bound)));
        let (low, high, place) = match arguments.count() {
            0 => return Ok(Value::Number(number)),
            1 => (1.0, bound(1)?, 1),
            2 => (bound(1)?, bound(2)?, 2),
            _ => return Err(arguments.fail("wrong number of arguments")),
        };
        if low > high {
            return Err(arguments.bad(place, "interval is empty"));
        }
        Ok(Value::Number((number * (high - low + 1.0)).floor() + low))
    }
}

fn next(state: u64) -> u64 {
    state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK
}
