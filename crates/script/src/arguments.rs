//! Arguments of library functions, checked as Lua's own library checks them.

use crate::numbers;
use crate::raised::Raised;
use crate::watch::Watch;
use mlua::{Error, Lua, MultiValue, Result, String as LuaString, Table, Value};
use std::rc::Rc;

/// What a function was called with. Places count from 1.
pub(crate) struct Arguments<'a> {
    pub(crate) lua: &'a Lua,
    pub(crate) values: MultiValue,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(lua: &'a Lua, values: MultiValue) -> Self {
        Self { lua, values }
    }

    pub(crate) fn count(&self) -> usize {
        self.values.len()
    }

    /// The argument, or nil.
    pub(crate) fn value(&self, place: usize) -> Value {
        self.values.get(place - 1).cloned().unwrap_or(Value::Nil)
    }

    /// Whether there is none, or nil.
    pub(crate) fn is_nil(&self, place: usize) -> bool {
        matches!(self.values.get(place - 1), None | Some(Value::Nil))
    }

    /// A string, or a number as one.
    pub(crate) fn string(&self, place: usize) -> Result<LuaString> {
        match self.values.get(place - 1) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(number @ (Value::Integer(_) | Value::Number(_))) => {
                self.lua.coerce_string(number.clone())?.ok_or_else(|| self.wrong_type(place, "string"))
            }
            _ => Err(self.wrong_type(place, "string")),
        }
    }

    /// A number, or a string that is one.
    pub(crate) fn number(&self, place: usize) -> Result<f64> {
        self.number_if_any(place)?.ok_or_else(|| self.wrong_type(place, "number"))
    }

    pub(crate) fn number_if_any(&self, place: usize) -> Result<Option<f64>> {
        match self.values.get(place - 1) {
            Some(value) => number_of(self.lua, value),
            None => Ok(None),
        }
    }

    /// A number without its fraction.
    pub(crate) fn integer(&self, place: usize) -> Result<i64> {
        self.number(place).map(numbers::to_i64)
    }

    /// The same, or something else if it is absent.
    pub(crate) fn integer_or(&self, place: usize, default: i64) -> Result<i64> {
        if self.is_nil(place) { Ok(default) } else { self.integer(place) }
    }

    /// A number, or another one if it is absent.
    pub(crate) fn number_or(&self, place: usize, default: f64) -> Result<f64> {
        if self.is_nil(place) { Ok(default) } else { self.number(place) }
    }

    /// The error of an argument that is not of the type that it has to be.
    pub(crate) fn wrong_type(&self, place: usize, wanted: &str) -> Error {
        let got = self.values.get(place - 1).map_or("no value", type_name);
        self.bad(place, &format!("{wanted} expected, got {got}"))
    }

    /// The error of a bad argument. It names the function as the script called it.
    pub(crate) fn bad(&self, place: usize, why: &str) -> Error {
        let names = |level| {
            self.lua.inspect_stack(level, |frame| {
                let names = frame.names();
                (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
            })
        };
        let (name, is_method) = names(0).unwrap_or((None, false));
        let name = name.unwrap_or_else(|| "?".to_owned());
        match (is_method, place) {
            (true, 1) => self.fail(&format!("calling '{name}' on bad self ({why})")),
            (true, _) => self.fail(&format!("bad argument #{} to '{name}' ({why})", place.saturating_sub(1))),
            (false, _) => self.fail(&format!("bad argument #{place} to '{name}' ({why})")),
        }
    }

    /// An error with the place in the script in front.
    pub(crate) fn fail(&self, text: &str) -> Error {
        fail(self.lua, text)
    }
}

/// An error with the place in the script that called this function.
pub(crate) fn fail(lua: &Lua, text: &str) -> Error {
    let place = lua.inspect_stack(1, |frame| {
        let line = frame.current_line().filter(|line| *line > 0)?;
        Some(format!("{}:{line}: ", frame.source().short_src.unwrap_or_default()))
    });
    Raised::Text(format!("{}{text}", place.flatten().unwrap_or_default())).into()
}

/// A number, or a string that is one, as a number.
pub(crate) fn number_of(lua: &Lua, value: &Value) -> Result<Option<f64>> {
    Ok(match value {
        #[expect(clippy::cast_precision_loss, reason = "it was a floating-point number before")]
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(_) => lua.coerce_number(value.clone())?,
        _ => None,
    })
}

/// The name of the value's type, as scripts know it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

/// A function of a library.
pub(crate) type Function = fn(&Arguments<'_>, &Watch) -> Result<MultiValue>;

/// Values that one call may answer; more do not fit the stack of Lua.
pub(crate) const RESULTS_MAX: usize = 7900;

/// Adds a function to a library.
pub(crate) fn add_function(
    lua: &Lua,
    module: &Table,
    watch: &Rc<Watch>,
    name: &str,
    function: Function,
) -> Result<()> {
    let watch = Rc::clone(watch);
    let call = move |lua: &Lua, values: MultiValue| function(&Arguments::new(lua, values), &watch);
    module.raw_set(name, lua.create_function(call)?)
}
