//! Small worlds, whole: every state that the production machines can reach in a tiny cluster.
//!
//! A simulator draws some of the things that can happen; this search takes all of them. The world is three replicas (four where the
//! members change), one key and two to five operations. The coordinators are `abd::Coordinator` with `abd::TimestampIssuer`, the
//! replicas `abd::Replica` with `abd::Acceptor`, unmodified; the rest (a bag of messages, disks of two words, true time as a
//! small number) is here. The rows are those of PROTOCOL section 10, and more.
//!
//! # What can happen
//!
//! * A value that was sent to be stored can reach any replica at any later moment, again and again: that is delay,
//!   loss, duplication and reordering in one rule. The same holds for a proposal that was sent to be accepted. A question
//!   for a promise reaches each replica once at most, as long as anybody waits for the promise.
//! * An Update that has waited for long begins another ballot if somebody was in its way. It may begin so many ballots as the
//!   row says; beyond them it stays open for ever, as if its coordinator had crashed.
//! * A replica's disk is stable, so its crash is a delay. In L8 a write is volatile until the replica syncs, and power
//!   may fail; in BL5 a whole disk is lost.
//! * Where a row says so, a coordinator crashes at any moment and comes back as its next incarnation; and a replica restarts,
//!   and has lost all its promises but for the mark (rule P5).
//! * By a clock that nobody vouches for a value with a deadline is due at any moment, and at the next one it is not; by some clocks
//!   it never is. With TrueTime, what a value is judged by is any number in `[now - epsilon, now]`, whenever it is.
//! * Where a row says so, the members change from A, B and C to A, B and D (rules C1 to C3). Any coordinator may learn of a configuration at any
//!   moment after it was decided, or never; a replica when a request or a sync brings it. What was sent in an older one stays deliverable
//!   to its members. A sync merges what one replica holds into another one, source by source.
//! * With TrueTime, `latest` is any number in `[now, now + epsilon]` whenever a clock is read: it repeats and goes
//!   back. True time is not bounded: it stands still only where its going on would change nothing but names.
//!
//! # What is checked
//!
//! In every state: the history is linearizable (all orders are tried), no version names two values (rule V1), no Update has
//! become two versions, and the state is no dead end with an operation still open. Over the whole row: some run answers every
//! operation.
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
//! 7. *True time goes on only while some timestamp is not yet past*, or some value not due by every clock. Once all are, whatever is
//!    issued later is above them in this hour as in the next.
//!
//!
//! For Updates:
//!
//! 8. *A Prepare or an Accept is answered and its answer taken in as one step*, as in points 3 and 4. A refusal changes nothing at
//!    the replica, so one that is late is a request that is. Of a promise or an acceptance nothing follows before there is a
//!    majority; the messages that follow then can be late instead. A proposal that a majority has accepted while its coordinator
//!    does not know and begins another ballot is no such run. So in the A rows answers are lost, and requests repeated.
//! 9. *A pause is over at once.* During one nothing is taken in, and the question that follows can be late instead.
//! 10. *A coordinator whose operations have all ended is put away*, with what it remembers: nobody asks it again.
//! 11. *All coordinators know at once that a replica has restarted.* Knowing it sooner is believing more of what it says (rule P3').
//!
//! 12. *A value is judged with the answer that calls for it*: when a Get or a look has read a majority, or a fold has its promises. A
//!     judgement that comes later is one after a slow answer.
//!
//! For changes of the members:
//!
//! 13. *That a configuration is decided is one step*: it is an update, pinned to the one before, and the rows of Updates are about those.
//! 14. *A coordinator learns of a configuration with the first thing that it does in it.* Before that nobody can tell that it has.
//! 15. *A request to a replica with a newer configuration does not arrive.* It would be refused and change nothing, and what the refusal
//!     tells its coordinator this may learn at any time.
//! 16. *A replica that merges what another one holds does so in one step*, and both have the joint configuration then. It does so until it
//!     has merged what a majority held.
//!
//! What an acceptor does late, and that this makes no difference, is in `replica`.
//!
//! # How it is done
//!
//! `machines` runs the production code once for every distinct situation and remembers what came of it: that of coordinators
//! through `surroundings`, that of replicas through `replica`. `world` has the state and how it moves, `actions` what can happen in
//! it; `search` goes through them breadth first, so that a counter-example is a shortest one, and `narrate` tells it. `change` has what
//! changes of the members add to these. `rows`, `update_rows`, `expiry_rows` and `member_rows` list the worlds, what adapters break in some of them, and what each must come to.

mod actions;
mod change;
mod expiry_rows;
mod hash;
mod history;
mod machine;
mod machines;
mod member_rows;
mod narrate;
mod numbered;
mod replica;
mod rows;
mod scenario;
mod search;
mod surroundings;
mod symmetry;
mod table;
mod update_rows;
mod updates;
mod values;
mod world;

pub use rows::{Expected, Row, rows};
pub use search::{CounterExample, Finding, Violation};
pub use table::command;
