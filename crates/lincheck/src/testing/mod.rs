//! Tools of the tests: a judge so simple that it must be right, and small random histories.

mod appends;
pub(crate) mod brute;
pub(crate) mod random;
