//! Fields of a message that later releases may add to: `tag u16 | length u32 | bytes` each, in ascending order of tags.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why bytes are not fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A field ends behind the message.
    #[error("a field ends behind its message")]
    Length,
    /// A field comes twice, or after one with a higher tag.
    #[error("field {0} is out of order")]
    Order(u16),
    /// A field that has to be there is not.
    #[error("the field \"{0}\" is missing")]
    Missing(&'static str),
}

/// Appends a field around what `value` writes.
pub fn put_field(out: &mut BytesMut, tag: u16, value: impl FnOnce(&mut BytesMut)) {
    out.put_u16(tag);
    let start = out.len();
    out.put_u32(0);
    value(out);
    let Ok(length) = u32::try_from(out.len() - start - 4) else { unreachable!("no field has 4 GiB") };
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Takes fields off the front of a message, in ascending order of tags; unknown ones are skipped.
#[derive(Debug)]
pub struct Fields {
    rest: Bytes,
    last: Option<u16>,
    /// The field that was read and not asked for yet.
    next: Option<(u16, Bytes)>,
}

impl Fields {
    /// Those in `rest`.
    pub fn new(rest: Bytes) -> Self {
        Self { rest, last: None, next: None }
    }

    fn take(&mut self) -> Result<Option<(u16, Bytes)>, FieldsError> {
        if let Some(field) = self.next.take() {
            return Ok(Some(field));
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.rest.try_get_u16().map_err(|_| FieldsError::Length)?;
        let length = self.rest.try_get_u32().map_err(|_| FieldsError::Length)? as usize;
        if length > self.rest.len() {
            return Err(FieldsError::Length);
        }
        if self.last.is_some_and(|last| last >= tag) {
            return Err(FieldsError::Order(tag));
        }
        self.last = Some(tag);
        Ok(Some((tag, self.rest.split_to(length))))
    }

    /// The value of a field, if it is there. To be asked for in ascending order of tags.
    ///
    /// # Errors
    /// When the fields up to it are damaged.
    pub fn optional(&mut self, tag: u16) -> Result<Option<Bytes>, FieldsError> {
        while let Some((found, value)) = self.take()? {
            if found == tag {
                return Ok(Some(value));
            }
            if found > tag {
                self.next = Some((found, value));
                break;
            }
        }
        Ok(None)
    }

    /// The value of a field.
    ///
    /// # Errors
    /// When it is not there, or the fields up to it are damaged.
    pub fn required(&mut self, tag: u16, name: &'static str) -> Result<Bytes, FieldsError> {
        self.optional(tag)?.ok_or(FieldsError::Missing(name))
    }

    /// Skips what is left.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn end(mut self) -> Result<(), FieldsError> {
        while self.take()?.is_some() {}
        Ok(())
    }
}
