//! Fencing tokens: the version that a lock was got with. Whoever has the lock later has the greater one, whatever clocks say, so that
//! what the lock protects can refuse a holder whose time is over.

use std::collections::BTreeMap;

/// A client got a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub key: Vec<u8>,
    /// Who.
    pub client: u64,
    /// The version with which it came.
    pub fence: Vec<u8>,
    /// When it was asked for, in nanoseconds since the beginning.
    pub asked: u64,
    /// When it was got.
    pub from: u64,
}

/// Two who got a lock one after the other, and the later one has not the greater token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfOrder {
    /// The lock.
    pub key: Vec<u8>,
    /// Who was told first.
    pub first: Held,
    /// Who asked after that; or has the same token.
    pub second: Held,
}

/// Looks for two holders of a lock whose tokens are not in the order in which they got it.
#[must_use]
pub fn out_of_order(held: &[Held]) -> Option<OutOfOrder> {
    let mut by_key: BTreeMap<&[u8], Vec<&Held>> = BTreeMap::new();
    for held in held {
        by_key.entry(&held.key).or_default().push(held);
    }
    for (key, mut holders) in by_key {
        // The greatest token first; of those with greater tokens, who was told earliest.
        holders.sort_by(|a, b| b.fence.cmp(&a.fence));
        let mut earliest: Option<&Held> = None;
        let mut greater: Option<&Held> = None;
        for holder in holders {
            let same = greater.filter(|greater| greater.fence == holder.fence);
            if let Some(first) = earliest.filter(|first| first.from < holder.asked).or(same) {
                let (first, second) = (first.clone(), holder.clone());
                return Some(OutOfOrder { key: key.to_vec(), first, second });
            }
            greater = Some(holder);
            if earliest.is_none_or(|earliest| holder.from < earliest.from) {
                earliest = Some(holder);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(client: u64, fence: &str, asked: u64, from: u64) -> Held {
        Held { key: b"lock".to_vec(), client, fence: fence.into(), asked, from }
    }

    #[test]
    fn later_holders_have_greater_tokens() {
        let right = [held(2, "02", 5, 30), held(1, "01", 0, 20), held(3, "03", 40, 50)];
        assert_eq!(out_of_order(&right), None);
        for (second, first) in
            [(held(3, "01", 21, 30), held(1, "02", 0, 20)), (held(3, "01", 5, 30), held(1, "01", 0, 20))]
        {
            let found = out_of_order(&[second.clone(), first.clone()]).unwrap();
            let both = [found.first.client, found.second.client];
            assert!(both == [1, 3] || both == [3, 1], "{found:?}");
            let other = Held { key: b"other".to_vec(), ..second };
            assert_eq!(out_of_order(&[other, first]), None);
        }
    }
}
