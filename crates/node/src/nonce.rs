//! Random numbers that a node keeps, and proofs that it knows one without telling it.

use alloc::string::String;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;

/// Random for each start of a directory: two starts with one boot count are two copies of one directory. Zero where it is
/// not known. Whoever has met a member knows it, and it is a secret from all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// Of a start that nobody knows of.
    pub const UNKNOWN: Self = Self([0; 16]);
}

/// It is a secret: no log has it.
impl core::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if *self == Self::UNKNOWN { "unknown" } else { "…" })
    }
}

/// TOML has signed integers only, so it is written as text.
impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(|number| Self(number.to_be_bytes())).map_err(de::Error::custom)
    }
}

/// What the two sides of a handshake have drawn for it, so that no proof serves twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenges {
    /// Of the side that has connected.
    pub dialler: [u8; 16],
    /// Of the other.
    pub acceptor: [u8; 16],
}

/// What a proof is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The statement is about whoever proves.
    Introduction = 0,
    /// The statement is about the other side.
    Verdict = 1,
    /// The statement is a configuration that does not name the other side.
    Retirement = 2,
}

/// A proof that somebody knows a nonce and says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub [u8; 16]);

/// Whose proof, to whom, in which handshake, of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) challenges: Challenges,
    pub(crate) purpose: Purpose,
    pub(crate) statement: &'a [u8],
}

impl Occasion<'_> {
    fn mac(&self, nonce: Nonce, use_of: u8) -> Hmac<Sha256> {
        // Any length is a key.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&nonce.0) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(b"atomic-kv handshake");
        mac.update(&[use_of, self.purpose as u8]);
        mac.update(&self.from.to_be_bytes());
        mac.update(&self.to.to_be_bytes());
        mac.update(&self.challenges.dialler);
        mac.update(&self.challenges.acceptor);
        mac.update(self.statement);
        mac
    }

    /// The proof of somebody who knows this nonce.
    pub(crate) fn tag(&self, nonce: Nonce) -> Tag {
        let digest = self.mac(nonce, 1).finalize().into_bytes();
        let mut tag = [0; 16];
        tag.copy_from_slice(&digest[..16]);
        Tag(tag)
    }

    /// Whether a proof is that of somebody who knows this nonce. A nonce that is not known proves nothing.
    pub(crate) fn proves(&self, tag: Tag, nonce: Nonce) -> bool {
        nonce != Nonce::UNKNOWN && self.mac(nonce, 1).verify_truncated_left(&tag.0).is_ok()
    }

    /// Hides `told` from whoever does not know `nonce`; the same again shows it.
    pub(crate) fn mask(&self, nonce: Nonce, told: Nonce) -> Nonce {
        let digest = self.mac(nonce, 2).finalize().into_bytes();
        let mut masked = told.0;
        masked.iter_mut().zip(digest).for_each(|(byte, mask)| *byte ^= mask);
        Nonce(masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_proof_serves_one_purpose_once() {
        let (known, other) = (Nonce([1; 16]), Nonce([2; 16]));
        let challenges = Challenges { dialler: [3; 16], acceptor: [4; 16] };
        let occasion =
            Occasion { from: 1, to: 2, challenges, purpose: Purpose::Introduction, statement: b"boot 7" };
        let tag = occasion.tag(known);
        assert!(occasion.proves(tag, known) && !occasion.proves(tag, other));
        for another in [
            Occasion { from: 2, to: 1, ..occasion },
            Occasion { challenges: Challenges { acceptor: [5; 16], ..challenges }, ..occasion },
            Occasion { challenges: Challenges { dialler: [5; 16], ..challenges }, ..occasion },
            Occasion { purpose: Purpose::Verdict, ..occasion },
            Occasion { purpose: Purpose::Retirement, ..occasion },
            Occasion { statement: b"boot 8", ..occasion },
        ] {
            assert!(!another.proves(tag, known), "{another:?}");
        }
        let nothing = occasion.tag(Nonce::UNKNOWN);
        assert!(!occasion.proves(nothing, Nonce::UNKNOWN));
    }

    #[test]
    fn what_is_masked_is_shown_to_whoever_knows_and_to_nobody_else() {
        let (known, told) = (Nonce([1; 16]), Nonce([9; 16]));
        let challenges = Challenges { dialler: [3; 16], acceptor: [4; 16] };
        let occasion =
            Occasion { from: 1, to: 2, challenges, purpose: Purpose::Introduction, statement: b"" };
        let masked = occasion.mask(known, told);
        assert_ne!(masked, told);
        assert_eq!(occasion.mask(known, masked), told);
        assert_ne!(occasion.mask(Nonce([2; 16]), masked), told);
        // The proof beside it is not the mask.
        assert_ne!(masked.0, occasion.tag(known).0);
        assert_eq!(format!("{known:?} {:?}", Nonce::UNKNOWN), "… unknown");
    }
}
