//! Functions, their bytes, and folds.

mod applying;
mod bytes;
mod configuring;
mod folding;

use super::*;
use crate::clock::Moments;
use abd::{Content, Deadline, Moment, Timestamp, UpdateId, Version};
use alloc::vec;
use alloc::vec::Vec;

/// When functions are applied, and how large a value may become.
const fn circumstances(value_bytes_max: usize) -> Circumstances {
    let moments = Moments { earliest: Moment(70), latest: Moment(75) };
    Circumstances { moments, value_bytes_max }
}

/// A version of some write.
fn version(time: u64) -> Version {
    Version::of_write(Timestamp { time, node: 1, boot: 1 })
}

fn holding(value: impl Into<Bytes>) -> Held {
    Held { content: Content::Value(value.into()), deadline: Deadline(77), version: Some(version(5)) }
}

fn absent() -> Held {
    Held { content: Content::Tombstone, deadline: Deadline::NONE, version: Some(Version::MIN) }
}

fn set(value: &'static str, condition: Condition) -> Function {
    Function::Set { value: value.into(), expiry: Expiry::Never, condition, get: false, wants_version: false }
}

fn float(text: &str) -> Extended {
    Extended::parse(text.as_bytes()).expect("a number")
}
