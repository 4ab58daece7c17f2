//! Protocol Buffers, written (protobuf.dev, "Encoding") and read as far as answers need.

/// A message being written. Fields that hold the default (0, empty) are left out, as every encoder does.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

/// How a field's value is written.
enum Kind {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    /// A message of what `fill` writes.
    pub fn of(fill: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut message = Self::default();
        fill(&mut message);
        message.0
    }

    /// `uint64`, `int64` that is not negative, `enum`, `bool`.
    pub fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, Kind::Varint);
            self.raw_varint(value);
        }
    }

    /// `int64` inside a `oneof`, where 0 is a value too.
    pub fn set_int(&mut self, field: u32, value: i64) {
        self.key(field, Kind::Varint);
        self.raw_varint(value.cast_unsigned());
    }

    /// `fixed64`.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.set_fixed64(field, value);
        }
    }

    /// `fixed64` and its like inside a `oneof`, or optional: 0 is a value too.
    pub fn set_fixed64(&mut self, field: u32, value: u64) {
        self.key(field, Kind::Fixed64);
        self.0.extend(value.to_le_bytes());
    }

    /// `fixed32`.
    pub fn fixed32(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.key(field, Kind::Fixed32);
            self.0.extend(value.to_le_bytes());
        }
    }

    /// `bytes`, `string`.
    pub fn bytes(&mut self, field: u32, value: impl AsRef<[u8]>) {
        if !value.as_ref().is_empty() {
            self.set_bytes(field, value.as_ref());
        }
    }

    /// `string` inside a `oneof`, an item of a list, or a message: empty is a value too.
    pub fn set_bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, Kind::Length);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    /// A message within.
    pub fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        self.set_bytes(field, &Self::of(fill));
    }

    /// A packed list of values of 8 bytes.
    pub fn packed(&mut self, field: u32, values: impl Iterator<Item = [u8; 8]>) {
        let bytes: Vec<u8> = values.flatten().collect();
        self.bytes(field, bytes);
    }

    fn key(&mut self, field: u32, kind: Kind) {
        self.raw_varint(u64::from(field << 3 | kind as u32));
    }

    fn raw_varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

/// A field as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// A varint.
    Varint(u64),
    /// Bytes, a string or a message.
    Bytes(&'a [u8]),
    /// Four or eight bytes, which no answer has.
    Fixed,
}

/// The fields of a message, in order, up to its end or to what is no field.
pub fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Field::Varint(take_varint(&mut bytes)?),
            1 => take(&mut bytes, 8).map(|_| Field::Fixed)?,
            2 => {
                let length = take_varint(&mut bytes)?;
                Field::Bytes(take(&mut bytes, usize::try_from(length).ok()?)?)
            }
            5 => take(&mut bytes, 4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, value))
    })
}

/// Whether a text is nothing but messages in the field `wanted`, at least one; what stands in them is not looked at.
pub fn is_list_of_messages(mut bytes: &[u8], wanted: u64) -> bool {
    let mut item = || {
        (take_varint(&mut bytes)? == wanted << 3 | 2).then_some(())?;
        let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
        take(&mut bytes, length)?;
        Some(bytes.is_empty())
    };
    loop {
        match item() {
            None => return false,
            Some(true) => return true,
            Some(false) => {}
        }
    }
}

/// The last value of a field that is bytes.
pub fn bytes_of(message: &[u8], wanted: u64) -> Option<&[u8]> {
    let of =
        |(field, value)| if let (true, Field::Bytes(bytes)) = (field == wanted, value) { Some(bytes) } else { None };
    fields(message).filter_map(of).last()
}

/// The last value of a field that is a varint, 0 where there is none.
pub fn varint_of(message: &[u8], wanted: u64) -> u64 {
    let of = |(field, value)| if let (true, Field::Varint(n)) = (field == wanted, value) { Some(n) } else { None };
    fields(message).filter_map(of).last().unwrap_or_default()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
