//! Benches only: they count instructions under valgrind, so a run on a busy machine tells the same as on an idle one.
