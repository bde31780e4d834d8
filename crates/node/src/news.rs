//! What nodes tell each other of themselves every now and then while they are connected: how they stand in the change of members.
//!
//! `kind u8 | fields`, over a lane, to peers that know of configurations. It is a report and no vote: what was told last counts, and
//! what a switch needs (C3) is told again until somebody acts on it.

use crate::change::HealWanted;
use crate::configuration::DirectoryId;
use crate::fields::{Fields, FieldsError, put_field};
use crate::repair::ranges::Range;
use abd::wire::{Reader, WireError, put_bytes};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// The first byte of such a frame.
pub const NEWS: u8 = 181;
/// Bytes of their keys: a frame has room for this and two long keys.
const RANGES_BYTES_MAX: usize = 64 << 10;
/// Ranges of what was lost in one message at the most; the sender joins those beyond.
const RANGES_MAX: usize = crate::change::LOST_RANGES_MAX;

const STANDING: u16 = 1;
const LOST: u16 = 2;
const HEAL: u16 = 3;
const PULLED: u16 = 4;

/// How a node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Its directory.
    pub directory: DirectoryId,
    /// What it can do ([`crate::configuration::LEVEL`]).
    pub level: u32,
    /// The epoch in which it is synced (rule C3); zero: in none.
    pub synced_in: u32,
    /// What it may have lost, in the order of the store.
    pub lost: Vec<Range>,
    /// That it wants to heal.
    pub heal: Option<HealWanted>,
    /// How many pages it has pulled in the sync that is under way: it is not given up while that grows.
    pub pulled: u64,
}

impl News {
    /// Appends the message's body.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(NEWS);
        put_field(out, STANDING, |out| {
            out.put_slice(&self.directory);
            out.put_u32(self.level);
            out.put_u32(self.synced_in);
        });
        put_field(out, LOST, |out| {
            let (mut bytes, last) = (0, self.lost.last().and_then(|last| last.up_to.clone()));
            for (index, Range { after, up_to }) in self.lost.iter().take(RANGES_MAX).enumerate() {
                bytes += [after, up_to].into_iter().flatten().map(Bytes::len).sum::<usize>();
                let is_last = index + 1 == RANGES_MAX || bytes > RANGES_BYTES_MAX;
                // What does not fit counts as lost, with what is between.
                let up_to = if is_last { &last } else { up_to };
                out.put_u8(u8::from(after.is_some()) | (u8::from(up_to.is_some()) << 1));
                [after, up_to].into_iter().flatten().for_each(|key| put_bytes(out, key));
                if is_last {
                    break;
                }
            }
        });
        if let Some(HealWanted { directory, is_gone }) = self.heal {
            put_field(out, HEAL, |out| {
                out.put_slice(&directory);
                out.put_u8(u8::from(is_gone));
            });
        }
        put_field(out, PULLED, |out| out.put_u64(self.pulled));
    }

    /// Whether a body is that of such a message.
    pub fn is_news(body: &[u8]) -> bool {
        body.first() == Some(&NEWS)
    }

    /// Reads the message's body.
    ///
    /// # Errors
    /// [`WireError`]; the lane is to be closed.
    pub fn get(body: &Bytes) -> Result<Self, WireError> {
        let damaged = |_: FieldsError| WireError::Length;
        let mut fields = Fields::new(body.slice(1..));
        let standing = fields.required(STANDING, "standing").map_err(damaged)?;
        let mut reader = Reader::new(&standing);
        let directory = *reader.take()?;
        let (level, synced_in) = (reader.u32()?, reader.u32()?);
        let field = fields.required(LOST, "lost").map_err(damaged)?;
        let mut reader = Reader::new(&field);
        let mut lost = Vec::new();
        while reader.end().is_err() {
            if lost.len() == RANGES_MAX {
                return Err(WireError::Length);
            }
            let flags = reader.flags(2)?;
            let mut end = |flag| if flags & flag != 0 { reader.bytes().map(Some) } else { Ok(None) };
            // Of their own: what came over a lane keeps a whole buffer alive.
            let own = |key: Bytes| abd::counted::copied(&key);
            let (after, up_to) = (end(1)?.map(own), end(2)?.map(own));
            lost.push(Range { after, up_to });
        }
        let heal = match fields.optional(HEAL).map_err(damaged)? {
            None => None,
            Some(field) => {
                let mut reader = Reader::new(&field);
                let directory: DirectoryId = *reader.take()?;
                Some(HealWanted { directory, is_gone: reader.flags(1)? != 0 })
            }
        };
        let pulled = fields.optional(PULLED).map_err(damaged)?;
        let pulled = pulled.map_or(Ok(0), |field| Reader::new(&field).u64())?;
        fields.end().map_err(damaged)?;
        Ok(Self { directory, level, synced_in, lost, heal, pulled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_come_back_and_damage_is_told() {
        let range = |after: Option<&'static str>, up_to: Option<&'static str>| Range {
            after: after.map(Bytes::from),
            up_to: up_to.map(Bytes::from),
        };
        let news = News {
            directory: [3; 16],
            level: 1,
            synced_in: 7,
            lost: alloc::vec![range(None, Some("b")), range(Some("d"), Some("")), range(Some("x"), None)],
            heal: Some(HealWanted { directory: [9; 16], is_gone: true }),
            pulled: 11,
        };
        for news in [news, News::default()] {
            let mut body = BytesMut::new();
            news.put(&mut body);
            let body = body.freeze();
            assert!(News::is_news(&body));
            assert_eq!(News::get(&body), Ok(news));
            for at in 1..body.len() {
                let mut damaged = body.to_vec();
                damaged[at] ^= 0x81;
                // Whatever it says, it ends nothing.
                let _ = News::get(&Bytes::from(damaged));
                let _ = News::get(&body.slice(..at));
            }
        }
    }

    /// Keys may be long: what does not fit into a frame counts as lost, with what is between.
    #[test]
    fn news_of_much_that_is_lost_fit_into_a_frame() {
        let key = |number: usize| Bytes::from([&number.to_be_bytes()[..], &[b'k'; 60_000]].concat());
        let range = |number| Range { after: Some(key(2 * number)), up_to: Some(key(2 * number + 1)) };
        let lost: Vec<Range> = (0..RANGES_MAX).map(range).collect();
        let mut body = BytesMut::new();
        News { lost: lost.clone(), ..News::default() }.put(&mut body);
        assert!(body.len() < 4 * RANGES_BYTES_MAX, "{}", body.len());
        let mut told = News::get(&body.freeze()).unwrap().lost;
        let last = told.pop().expect("something is lost");
        assert_eq!(told, lost[..told.len()]);
        assert_eq!((&last.after, &last.up_to), (&lost[told.len()].after, &lost[RANGES_MAX - 1].up_to));
    }
}
