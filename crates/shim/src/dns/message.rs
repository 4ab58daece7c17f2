//! Questions and answers (RFC 1035, section 4; AAAA: RFC 3596). Answers come from whoever can send a packet: nothing in them is trusted.

use std::net::IpAddr;

/// A longer name cannot be asked for (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Pointers followed in one name, and records read in one answer.
const MOST_JUMPS: usize = 32;
const MOST_RECORDS: usize = 128;
const CNAME: u16 = 5;
const INTERNET: u16 = 1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses.
    Aaaa = 28,
}

/// A well-formed answer to our question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The addresses; none where the name has none of the kind.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// It was cut: ask over TCP.
    Cut,
    /// The server cannot answer; another may.
    Failed,
}

/// A question; `None` for what is no name.
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return None;
    }
    let mut message = Vec::with_capacity(name.len() + 18);
    message.extend(id.to_be_bytes());
    // Recursion desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length =
            u8::try_from(label.len()).ok().filter(|length| (1..=LONGEST_LABEL).contains(&usize::from(*length)))?;
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend((kind as u16).to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Some(message)
}

/// Reads an answer; `None` where it is none to this question, or not well-formed.
pub fn answer(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let mut reader = Reader { bytes, at: 0 };
    let (found, flags, questions, records) = (reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?);
    reader.at += 4;
    let is_answer = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if found != id || !is_answer || questions != 1 {
        return None;
    }
    let asked = reader.name()?;
    if !asked.eq_ignore_ascii_case(name) || reader.u16()? != kind as u16 || reader.u16()? != INTERNET {
        return None;
    }
    match flags & 0x000f {
        3 => return Some(Answer::NoSuchName),
        0 if flags & 0x0200 != 0 => return Some(Answer::Cut),
        0 => {}
        _ => return Some(Answer::Failed),
    }
    let mut wanted = asked;
    let mut addresses = Vec::new();
    for _ in 0..usize::from(records).min(MOST_RECORDS) {
        let record = reader.record()?;
        if record.class != INTERNET || !record.owner.eq_ignore_ascii_case(&wanted) {
            continue;
        }
        if record.kind == CNAME {
            wanted = Reader { bytes, at: record.data }.name()?;
        } else if record.kind == kind as u16 {
            addresses.push(address(bytes.get(record.data..record.data + record.length)?)?);
        }
    }
    Some(Answer::Addresses(addresses))
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from)).ok()
}

struct Record {
    owner: String,
    kind: u16,
    class: u16,
    data: usize,
    length: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn record(&mut self) -> Option<Record> {
        let (owner, kind, class) = (self.name()?, self.u16()?, self.u16()?);
        self.at += 4;
        let length = usize::from(self.u16()?);
        let data = self.at;
        self.at += length;
        (self.at <= self.bytes.len()).then_some(Record { owner, kind, class, data, length })
    }

    /// A name, pointers followed (RFC 1035, section 4.1.4).
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let (mut at, mut jumps) = (self.at, 0);
        loop {
            let length = usize::from(*self.bytes.get(at)?);
            match length {
                0 => {
                    if jumps == 0 {
                        self.at = at + 1;
                    }
                    return Some(name);
                }
                0xc0.. => {
                    if jumps == 0 {
                        self.at = at + 2;
                    }
                    jumps += 1;
                    at = (length & 0x3f) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    if jumps > MOST_JUMPS {
                        return None;
                    }
                }
                1..=LONGEST_LABEL => {
                    let label = self.bytes.get(at + 1..at + 1 + length)?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|byte| char::from(*byte)));
                    at += 1 + length;
                    if name.len() > 2 * LONGEST_NAME {
                        return None;
                    }
                }
                _ => return None,
            }
        }
    }
}
