//! Python values as JSON values, with bounds, whatever they are.

use capsule::json::{self, Limits, Object, Value};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};

/// Deepest nesting that is followed. Records may be 200 levels deep, of which a few are the record's own.
const MAX_DEPTH: usize = 150;
/// Most values that one conversion visits, so that a structure that holds itself ends.
const MAX_NODES: usize = 1_000_000;

/// Converts whatever Python's `json` could write to what it would write, and anything else to text.
pub(crate) fn value(object: &Bound<'_, PyAny>) -> Value {
    let mut left = MAX_NODES;
    convert(object, 0, &mut left)
}

/// The text of a string; of anything else what `str` gives.
pub(crate) fn text(object: &Bound<'_, PyAny>) -> String {
    match object.cast::<PyString>() {
        Ok(string) => string.to_string_lossy().into_owned(),
        // An object whose `__str__` fails is still named.
        Err(_) => match object.str() {
            Ok(string) => string.to_string_lossy().into_owned(),
            Err(_) => format!("<{} without text>", type_name(object)),
        },
    }
}

/// A member of a mapping or an attribute of an object; `None` when it is missing, fails or is `None`.
pub(crate) fn field<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> Option<Bound<'py, PyAny>> {
    let found = match object.cast::<PyDict>() {
        Ok(dict) => dict.get_item(name).ok().flatten(),
        Err(_) => object.getattr_opt(name).ok().flatten(),
    };
    found.filter(|found| !found.is_none())
}

/// The items of a list or tuple, and nothing for anything else.
pub(crate) fn items<'py>(object: &Bound<'py, PyAny>) -> Vec<Bound<'py, PyAny>> {
    if let Ok(list) = object.cast::<PyList>() {
        list.iter().collect()
    } else if let Ok(tuple) = object.cast::<PyTuple>() {
        tuple.iter().collect()
    } else {
        Vec::new()
    }
}

fn convert(object: &Bound<'_, PyAny>, depth: usize, left: &mut usize) -> Value {
    let Some(rest) = left.checked_sub(1) else {
        return Value::from("[too many values]");
    };
    *left = rest;
    if depth > MAX_DEPTH {
        return Value::from("[nested too deep]");
    }
    if let Ok(string) = object.cast::<PyString>() {
        return Value::String(string.to_string_lossy().into_owned());
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        // A copy of the members: converting one may run Python code that changes the dictionary.
        let members = dict.items();
        return members
            .iter()
            .filter_map(|member| {
                member
                    .extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
                    .ok()
            })
            .map(|(key, member)| (key_text(&key), convert(&member, depth + 1, left)))
            .collect::<Object>()
            .into();
    }
    if object.is_none() {
        return Value::Null;
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        return Value::Bool(flag.is_true());
    }
    if object.cast::<PyInt>().is_ok() {
        return integer(object);
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        return number(float.value());
    }
    if object.cast::<PyList>().is_ok() || object.cast::<PyTuple>().is_ok() {
        let converted = items(object)
            .iter()
            .map(|item| convert(item, depth + 1, left))
            .collect();
        return Value::Array(converted);
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Value::from(format!("[{} bytes]", bytes.as_bytes().len()));
    }
    match dumped(object) {
        Some(dumped) => convert(&dumped, depth + 1, left),
        None => Value::String(text(object)),
    }
}

/// What a pydantic model or a mapping holds.
fn dumped<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = object.py();
    if let Ok(dumped) = object.call_method0(intern!(py, "model_dump")) {
        return Some(dumped);
    }
    if object.hasattr(intern!(py, "keys")).unwrap_or(false) {
        let dict = PyDict::new(py);
        dict.call_method1(intern!(py, "update"), (object,)).ok()?;
        return Some(dict.into_any());
    }
    None
}

/// As Python's `json` writes keys that are no strings.
fn key_text(key: &Bound<'_, PyAny>) -> String {
    if key.is_none() {
        return "null".to_owned();
    }
    match key.cast::<PyBool>() {
        Ok(flag) if flag.is_true() => "true".to_owned(),
        Ok(_) => "false".to_owned(),
        Err(_) => text(key),
    }
}

fn integer(object: &Bound<'_, PyAny>) -> Value {
    if let Ok(small) = object.extract::<i64>() {
        return Value::from(small);
    }
    // Python refuses to write numbers beyond 4,300 digits, which no reader of the record could read.
    let digits = object
        .str()
        .map(|digits| digits.to_string_lossy().into_owned());
    let parsed = digits.map(|digits| json::parse(digits.as_bytes(), &Limits::default()));
    match parsed {
        Ok(Ok(number @ Value::Int(_))) => number,
        _ => Value::from("[integer too long]"),
    }
}

fn number(float: f64) -> Value {
    if float.is_finite() {
        return Value::Float(float);
    }
    Value::from(if float.is_nan() {
        "NaN"
    } else if float > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    })
}

pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    let name = object.get_type().name();
    name.map_or_else(|_| "object".to_owned(), |name| text(name.as_any()))
}
