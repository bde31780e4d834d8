//! What arrives over a lane: replies, requests, pings, and what repair and inquiries ask and answer.

use super::{Environment, OwnQuestion, Return, Shard};
use crate::frames::Incoming;
use crate::hello::WITH_CONFIGURATIONS;
use crate::inquiry;
use crate::lanes::lane::{CONFIGURATION, LaneError, LaneKey, PING, PONG, SILENCE_LIMIT, put_pong};
use crate::limits::FRAME_BYTES_MAX;
use crate::lookups::found_bytes;
use crate::news::{NEWS, News};
use crate::repair::message::{Answer, get_answer, get_question, is_answer, is_question, put_answer};
use crate::sync;
use abd::wire::{Received, call_of, get_reply, get_request, is_reply};
use abd::{CallId, Closed, Instant, Now, OperationId, Refusal, Reply, Told};
use alloc::boxed::Box;
use bytes::{Buf, Bytes, BytesMut};
use core::time::Duration;

impl<E: Environment, R: Return> Shard<E, R> {
    /// Takes all frames that are there: one look at what to send after all of them.
    ///
    /// # Errors
    /// [`LaneError`]: the lane is to be closed.
    pub fn handle_bytes(&mut self, key: LaneKey, input: &mut BytesMut, now: Now) -> Result<(), LaneError> {
        let (mut any, mut taken) = (false, Ok(()));
        // Should it be replaced meanwhile, nothing that it has brought counts any more.
        while let Some(lane) = self.lane(key) {
            lane.last_heard = now.instant;
            taken = match lane.frames.take(input) {
                Ok(None) => break,
                Ok(Some(Incoming::Frame(body))) => self.handle_frame(key, body, now),
                Ok(Some(Incoming::TooLong { head, length })) => self.pass_over(key, &head, length, now),
                Err(why) => Err(why.into()),
            };
            any = true;
            if taken.is_err() {
                break;
            }
        }
        if any {
            self.pump(now);
        }
        taken.and_then(|()| self.look_after(key, now.instant))
    }

    /// Looks after a lane: to be called more often than every [`PING_EVERY`](crate::lanes::lane::PING_EVERY) while nothing comes.
    ///
    /// # Errors
    /// [`LaneError::Silence`]: the lane is to be closed.
    pub fn look_after(&mut self, key: LaneKey, now: Instant) -> Result<(), LaneError> {
        let give_up_after = self.op_timeout + SILENCE_LIMIT;
        let Some(lane) = self.lane(key) else { return Ok(()) };
        if now.since(lane.last_heard) > SILENCE_LIMIT {
            return Err(LaneError::Silence(SILENCE_LIMIT));
        }
        let (pinged, wakes) = lane.ping(now);
        self.wake_if(wakes, key);
        if pinged && let Some(lanes) = self.lanes.to_mut(key.peer) {
            // Writes that were never answered count as missed after a while.
            for (missing, version) in lanes.give_up(key, give_up_after, now) {
                self.environment.missed(key.peer, &missing, version);
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, key: LaneKey, mut body: Bytes, now: Now) -> Result<(), LaneError> {
        match body.first() {
            Some(&PING) if body.len() == 1 => {
                self.check_read(key)?;
                let (writable, sequence) =
                    (self.environment.standing().writable, self.environment.sequence());
                self.frame_back(key, 0, |body| put_pong(body, writable, sequence));
            }
            Some(&PONG) => {
                if body.len() == 10 {
                    body.advance(1);
                    let writable = body.get_u8() == 1;
                    self.coordinator.handle_peer_writable(key.peer, writable);
                    self.environment.observe(key.peer, body.get_u64());
                }
            }
            Some(&CONFIGURATION) => {
                body.advance(1);
                self.handle_configuration(key, &body, now);
            }
            Some(&NEWS) => self.handle_news(key, News::get(&body)?, now.instant),
            _ if is_reply(&body) => {
                let (call, reply) = get_reply(body)?;
                self.handle_lane_reply(key, call, reply, now);
            }
            _ if is_answer(&body) => {
                let (call, answer) = get_answer(body)?;
                self.environment.repair(|repair, now| repair.handle_answer(key.peer, call, answer, now));
            }
            _ if sync::message::is_answer(&body) => {
                let (call, answer) = sync::message::get_answer(body)?;
                let from = key.peer;
                if answer == sync::message::Answer::Refused(Refusal::OtherConfiguration) {
                    self.tell_configuration(from);
                }
                self.environment.repair(|repair, now| repair.sync().handle_answer(from, call, answer, now));
            }
            _ if sync::message::is_caught_up(&body) => {
                let (call, caught_up) = sync::message::get_caught_up(&body)?;
                let from = key.peer;
                self.environment.repair(|repair, now| repair.handle_caught_up(from, call, caught_up, now));
            }
            _ if inquiry::message::is_answer(&body) => {
                let (call, answer) = inquiry::message::get_answer(body)?;
                self.inquiries.handle_answer(key.peer, call, answer, now);
            }
            _ => return self.handle_request(key, body, now),
        }
        Ok(())
    }

    /// Whoever asks has to read what he is answered.
    fn check_read(&mut self, key: LaneKey) -> Result<(), LaneError> {
        let unread = self.lanes.to_mut(key.peer).and_then(|lanes| lanes.unread(key));
        unread.map_or(Ok(()), |waiting| Err(LaneError::Unread(waiting)))
    }

    fn handle_request(&mut self, key: LaneKey, body: Bytes, now: Now) -> Result<(), LaneError> {
        self.check_read(key)?;
        if is_question(&body) {
            let (call, question) = get_question(body)?;
            let Some(lane) = self.lane(key) else { return Ok(()) };
            // It may wait for the disk, so one is looked at per lane and time.
            if core::mem::replace(&mut lane.is_answering, true) {
                self.tell(key, call, &Answer::Refused(Refusal::Overloaded));
            } else {
                self.questions.push_back(OwnQuestion::of_repair(self.to(Some(key), call), question));
            }
            return Ok(());
        }
        if sync::message::is_wanted(&body) {
            let (call, wanted) = sync::message::get_wanted(&body)?;
            self.handle_wanted(key, call, wanted);
            return Ok(());
        }
        if sync::message::is_question(&body) {
            let (call, question) = sync::message::get_question(body)?;
            self.handle_pull(key, call, question);
            return Ok(());
        }
        if inquiry::message::is_question(&body) {
            let (call, question) = inquiry::message::get_question(body)?;
            self.answer_inquiry(self.to(Some(key), call), question, now);
            return Ok(());
        }
        let Received { call, remaining_ms, scope, request } = get_request(body)?;
        let deadline = now.instant + Duration::from_millis(u64::from(remaining_ms));
        let served = self.serve(scope, request, self.to(Some(key), call), deadline);
        if let Some(reply) = served.reply() {
            self.answer(key, call, &reply);
        }
        Ok(())
    }

    /// What was too long is refused by itself.
    fn pass_over(&mut self, key: LaneKey, head: &[u8], length: usize, now: Now) -> Result<(), LaneError> {
        assert!(length > FRAME_BYTES_MAX, "only what is too long is passed over");
        self.environment.passed_over(key.peer, length);
        let refusal = Reply::Refused(Refusal::TooLarge);
        match call_of(head) {
            Some((call, true)) => self.handle_lane_reply(key, call, refusal, now),
            Some((call, false)) => {
                self.check_read(key)?;
                self.answer(key, call, &refusal);
            }
            None => {}
        }
        Ok(())
    }

    fn handle_lane_reply(&mut self, key: LaneKey, call: CallId, reply: Reply, now: Now) {
        let has_written = matches!(reply, Reply::Written { .. });
        let Self { lanes, coordinator, .. } = self;
        if let Some(pair) = lanes.to_mut(key.peer).and_then(|lanes| lanes.pair(key.id.pair)) {
            let waits_for = &mut pair.unacknowledged;
            // The peer is ahead. What is stored still is sent anew when this node has that configuration, too.
            let is_sent_anew = matches!(reply, Reply::Stale { .. })
                && waits_for
                    .version_of(call)
                    .is_some_and(|version| coordinator.is_storing(OperationId(call.operation), version));
            let refused = if is_sent_anew { None } else { waits_for.answered(call, has_written) };
            if let Some((missing, version)) = refused {
                self.environment.missed(key.peer, &missing, version);
            }
        }
        self.handle_reply(key.peer, call, reply, now);
    }

    pub(super) fn tell(&mut self, key: LaneKey, call: CallId, answer: &Answer) {
        self.frame_back(key, 0, |body| put_answer(body, call, answer));
    }

    /// Sends a reply to what came over a lane.
    pub(super) fn answer(&mut self, key: LaneKey, call: CallId, reply: &Reply) {
        if let Reply::Closed(closed) = reply
            && closed.told != Told::ANYBODY
            && !self.speaks(key.peer, WITH_CONFIGURATIONS)
        {
            // An older release does not know that field.
            let closed = Closed { told: Told::ANYBODY, ..Closed::clone(closed) };
            return self.answer(key, call, &Reply::Closed(Box::new(closed)));
        }
        let found = found_bytes(reply);
        let Some(lane) = self.way_back(key, found) else { return };
        if found > 0 && !lane.outgoing.takes_contents() {
            // It is asked again; others are asked at once.
            return self.answer(key, call, &Reply::Refused(Refusal::Overloaded));
        }
        let (wakes, key) = (lane.outgoing.reply(call, reply), lane.key);
        self.wake_if(wakes, key);
    }
}
