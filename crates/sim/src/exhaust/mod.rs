//! Small worlds, whole: every state that the production machines can reach in a tiny cluster.
//!
//! A simulator draws some of the things that can happen; this search takes all of them. The world is three replicas,
//! one key and three to five operations. The coordinators are `abd::Coordinator` with `abd::TimestampIssuer`, the
//! replicas `abd::Replica`, unmodified; the rest (a bag of messages, disks of two words, true time as a small number)
//! is here. The rows are those of PROTOCOL section 10 that need no conditional updates.
//!
//! # What can happen
//!
//! * A value that was sent to be stored can reach any replica at any later moment, again and again: that is delay,
//!   loss, duplication and reordering in one rule.
//! * A replica's disk is stable, so its crash is a delay. In L8 a write is volatile until the replica syncs, and power
//!   may fail; in BL5 a whole disk is lost.
//! * Where a row says so, a coordinator crashes at any moment and comes back as its next incarnation.
//! * With TrueTime, `latest` is any number in `[now, now + epsilon]` whenever a clock is read: it repeats and goes
//!   back. True time is not bounded: it stands still only where its going on would change nothing but names.
//!
//! # What is checked
//!
//! In every state: the history is linearizable (all orders are tried), no version names two values (rule V1), and the
//! state is no dead end with an operation still open. Over the whole row: some run answers every operation.
//!
//! # What is left out, and why nothing is lost
//!
//! Each argument below shows that for every run left out, a run is visited with the same answers and at least the
//! same real-time order; so if the one violates linearizability, the other does.
//!
//! 1. *Names of replicas.* States that differ in them only are one state. The production code knows replicas by
//!    number, so this is verified rather than believed: after each search every input that any machine met is given
//!    again under all six renamings, and the results must be each other's renamings (`machines`).
//! 2. *An operation is invoked at its first effect.* Before the first reply to a query is taken in, nobody can tell
//!    that the operation exists. Invoking it later makes more operations precede it.
//! 3. *A query is answered and its answer taken in as one step.* A slow answer only delays what follows from it, and
//!    every message sent then can be slow instead. With one exception that PROTOCOL section 10 does not mention: two
//!    logical Sets at once on one issuer. The later to issue gets at least the larger time, so a slow answer can
//!    change what is issued. In L3 and BL2 the answers to timestamp queries therefore travel for as long as they like.
//! 4. *An acknowledgement arrives with the write it acknowledges*, at all operations that asked this replica to store
//!    this value. A lost one is a run in which the operation is answered later, or by more replicas.
//! 5. *An operation is answered as soon as it can be*, and commit waits end as early as a correct clock allows.
//! 6. *Replies to a phase that is over* are not in the bag. After each search all kinds of them are given to every
//!    machine that was met, and must change nothing.
//! 7. *True time goes on only while some timestamp is not yet past.* Once all are, whatever is issued later is above
//!    them in this hour as in the next.
//!
//! # How it is done
//!
//! `machines` runs the production code once for every distinct situation and remembers what came of it. `world`
//! has the state and its steps, `search` goes through them breadth first, so that a counter-example is a shortest
//! one, and `narrate` tells it. `rows` lists the worlds, what adapters break in some of them, and what each must
//! come to.

mod hash;
mod history;
mod machine;
mod machines;
mod narrate;
mod rows;
mod scenario;
mod search;
mod symmetry;
mod table;
mod values;
mod world;

pub use rows::{Expected, Row, rows};
pub use search::{CounterExample, Finding, Violation};
pub use table::command;
