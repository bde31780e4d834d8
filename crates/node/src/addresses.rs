//! In which order the addresses of a name are tried (RFC 8305, section 4).

use alloc::vec::Vec;
use core::net::SocketAddr;

/// The two families in turns, beginning with that of the first address, so that a family that leads nowhere costs one attempt
/// and not all of its own. What was tried in vain last time comes last.
pub fn in_order_of_attempts(addresses: &[SocketAddr], last_in_vain: Option<SocketAddr>) -> Vec<SocketAddr> {
    let mut once: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !once.contains(address) {
            once.push(*address);
        }
    }
    let Some(first) = once.first().copied() else { return once };
    let (own, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        once.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(once.len());
    for turn in 0..own.len().max(other.len()) {
        ordered.extend(own.get(turn));
        ordered.extend(other.get(turn));
    }
    if let Some(place) = ordered.iter().position(|address| Some(*address) == last_in_vain) {
        let address = ordered.remove(place);
        ordered.push(address);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_what_was_in_vain_is_last() {
        let known = addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(in_order_of_attempts(&known, None), expected);
        let expected = addresses(&["1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1", "[::1]:1"]);
        assert_eq!(in_order_of_attempts(&known, Some(known[0])), expected);
        assert_eq!(in_order_of_attempts(&[], Some(known[0])), []);
    }
}
