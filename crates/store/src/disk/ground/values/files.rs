//! The segments that pointers may lead to, as one view knows them.

use super::pointer::Pointer;
use crate::database::DatabaseError;
use crate::disk::ground::failure::unreadable;
use crate::files::OpenFile;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Open segments by the number of their use. A view has its own, so that a file that is given back or deleted meanwhile
/// stays readable for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(Arc<BTreeMap<u64, Arc<dyn OpenFile>>>);

/// What is at the end of a pointer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PointerTarget {
    Value(Bytes),
    /// The segment is not in use any more.
    Gone,
}

impl Files {
    /// Adds a segment, if it is not among them yet.
    pub(crate) fn add(&mut self, segment: u64, file: &Arc<dyn OpenFile>) {
        if !self.0.contains_key(&segment) {
            Arc::make_mut(&mut self.0).insert(segment, file.clone());
        }
    }

    /// Takes a segment out.
    pub(crate) fn remove(&mut self, segment: u64) {
        if self.0.contains_key(&segment) {
            Arc::make_mut(&mut self.0).remove(&segment);
        }
    }

    /// Whether there is a file at the end of a pointer.
    pub(crate) fn have(&self, pointer: &Pointer) -> bool {
        self.0.contains_key(&pointer.location.segment)
    }

    /// Follows a pointer.
    /// Fails with [`DatabaseError::Unreadable`] when something else is there, or nothing can be read.
    pub(crate) fn read(&self, pointer: &Pointer) -> Result<PointerTarget, DatabaseError> {
        let found = self.read_head(pointer, pointer.length as usize)?;
        if let PointerTarget::Value(value) = &found
            && crc32fast::hash(value) != pointer.checksum
        {
            return Err(unreadable(format!("the large value at {pointer:?} does not match its checksum")));
        }
        Ok(found)
    }

    /// The same for the first bytes alone, of which nobody knows whether they are damaged.
    pub(crate) fn read_head(&self, pointer: &Pointer, length: usize) -> Result<PointerTarget, DatabaseError> {
        let Some(file) = self.0.get(&pointer.location.segment) else { return Ok(PointerTarget::Gone) };
        let failed =
            |why: io::Error| unreadable(format!("cannot read the large value at {pointer:?}: {why}"));
        // Before memory is asked for.
        let end = pointer.location.offset.saturating_add(u64::from(pointer.length));
        if end > file.length().map_err(failed)? {
            return Err(unreadable(format!("{pointer:?} leads behind the end of its segment")));
        }
        let mut value = vec![0; length.min(pointer.length as usize)];
        if file.read_at(&mut value, pointer.location.offset).map_err(failed)? < value.len() {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(PointerTarget::Value(value.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointer::Location;
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_value_to_damage_or_to_nothing() {
        let file: Arc<dyn OpenFile> = Arc::new(tempfile::tempfile().unwrap());
        let value = vec![7; 5_000];
        file.write_at(&value, 512).unwrap();
        let pointer = Pointer::new(Location { segment: 3, offset: 512 }, &value);
        let mut files = Files::default();
        assert_eq!(files.read(&pointer).unwrap(), PointerTarget::Gone);
        files.add(3, &file);
        assert_eq!(files.read(&pointer).unwrap(), PointerTarget::Value(value.into()));
        let head = files.read_head(&pointer, 9).unwrap();
        assert_eq!((head, files.have(&pointer)), (PointerTarget::Value(vec![7; 9].into()), true));
        let view = files.clone();
        for offset in [511, 513] {
            let elsewhere = Pointer { location: Location { segment: 3, offset }, ..pointer };
            assert!(matches!(files.read(&elsewhere), Err(DatabaseError::Unreadable { .. })), "{offset}");
        }
        files.remove(3);
        assert_eq!(files.read(&pointer).unwrap(), PointerTarget::Gone);
        assert!(matches!(view.read(&pointer), Ok(PointerTarget::Value(_))));
    }
}
