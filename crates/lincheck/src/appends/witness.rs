//! An order is believed when it was replayed.

use super::lives::{Kind, Lives, Op, Told, token};

/// What the key holds.
enum Held {
    Absent,
    /// What a life holds after so many of its updates.
    Life(usize, usize),
    /// Something that nobody saw.
    Unseen,
}

/// True when the order has every operation of known outcome once, respects real time, and explains every answer.
pub(super) fn holds(ops: &[Op<'_>], lives: &Lives, order: &[usize]) -> bool {
    let mut placed = vec![false; ops.len()];
    let mut latest = None;
    let (mut held, mut length) = (Held::Absent, 0);
    for &position in order {
        let op = &ops[position];
        if std::mem::replace(&mut placed[position], true) || latest.is_some_and(|latest| op.ret < latest) {
            return false;
        }
        latest = latest.max(Some(op.invoke));
        let at = lives.at[position];
        let possible = match (op.kind, &held) {
            (Kind::Read(_), Held::Life(life, place)) => at == Some((*life, *place)),
            (Kind::Read(_), _) | (Kind::Absent, Held::Life(..) | Held::Unseen) => false,
            (Kind::Delete { found }, Held::Absent) => !found,
            (Kind::Absent, Held::Absent) | (Kind::Set(_) | Kind::Delete { .. }, _) => true,
            (Kind::Append(_), held) => match (at, held) {
                (None, _) => true,
                (Some((life, 0)), Held::Absent) => lives.all[life].from_absence,
                (Some((life, place)), Held::Life(now, before)) => (life, place) == (*now, before + 1),
                _ => false,
            },
        };
        if !possible {
            return false;
        }
        match op.kind {
            Kind::Read(_) | Kind::Absent => continue,
            Kind::Delete { .. } => (held, length) = (Held::Absent, 0),
            Kind::Set(_) | Kind::Append(_) => {
                let brought = token(op).map_or(0, <[u8]>::len) as u64;
                length = if matches!(op.kind, Kind::Set(_)) { brought } else { length + brought };
                held = at.map_or(Held::Unseen, |(life, place)| Held::Life(life, place));
            }
        }
        if matches!(op.told, Told::Length(bytes) if bytes != length) {
            return false;
        }
    }
    ops.iter().zip(placed).all(|(op, placed)| placed || op.ret == crate::zones::Time::MAX)
}
