//! A peer that pulls is not compared with: it is asked to look itself for what it lacks ([`crate::sync`]), and told so again until it
//! has everything.

use super::Action;
use super::peer::{Peer, Round, Turn};
use crate::sync::message::CaughtUp;

impl Peer {
    /// Asks the peer to catch up, or how far it is with that.
    pub(super) fn ask_to_catch_up(&mut self, turn: &mut Turn<'_>) {
        let number = turn.number();
        let (wanted, is_new) = self.comparison.wanted(number);
        // Nobody knows of anything that lacks: it may lack here as well.
        *turn.wants_itself |= is_new && self.comparison.is_routine();
        let call = super::call(number);
        turn.actions.push_back(Action::CatchUp { peer: self.id(), call, wanted });
        self.round = Round::CatchingUp { number, until: turn.now + turn.config.answer_within };
    }

    /// How far the peer is.
    pub(super) fn handle_caught_up(&mut self, number: u64, caught_up: CaughtUp, turn: &mut Turn<'_>) {
        if !matches!(self.round, Round::CatchingUp { number: asked, .. } if asked == number) {
            return;
        }
        if caught_up.done {
            self.counts.sent += caught_up.keys;
            self.comparison.has_caught_up(turn.now, turn.config.compare_every);
            return self.end_round(turn);
        }
        self.comparison.is_told(caught_up.compared);
        self.end_round(turn);
        if self.missed.is_empty() {
            self.next_at = turn.now + turn.config.ask_every;
        }
    }
}
