//! What became of each node of a Workflow, in 13 bytes a node.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use crate::identity;
use crate::trace::status::{SECOND, Time};

/// What became of a node, under the number of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// When it began for the first time, in seconds since 1970.
    pub first: u32,
    /// When it began for the last time.
    pub last: u32,
    /// It is a step.
    pub is_step: bool,
    /// Its last run was counted.
    pub counted: bool,
    /// The span of its last run has arrived, or is not to be sent.
    pub sent: bool,
}

/// The nodes of one Workflow.
pub type Marks = BTreeMap<u32, Mark>;

/// Argo's node ids end in the 32-bit FNV-1a hash of the node's name (`NodeID` of `workflow_types.go`); what does not gets a number of ours.
pub fn number(node: &str) -> u32 {
    let own = node.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    own.unwrap_or_else(|| u32::from_str_radix(&identity::hex(node, 8), 16).unwrap_or(0))
}

pub(super) fn seconds(time: Time) -> u32 {
    u32::try_from(time / SECOND).unwrap_or(u32::MAX)
}

/// 13 bytes a node: its number, its first and last beginning, flags.
const BYTES: usize = 13;

pub(super) fn pack(marks: &Marks) -> String {
    let mut bytes = Vec::with_capacity(marks.len() * BYTES);
    for (number, mark) in marks {
        for word in [*number, mark.first, mark.last] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.push(u8::from(mark.is_step) | u8::from(mark.counted) << 1 | u8::from(mark.sent) << 2);
    }
    BASE64.encode(bytes)
}

pub(super) fn unpack(text: &str) -> Option<Marks> {
    let bytes = BASE64.decode(text).ok()?;
    let marks = bytes.chunks(BYTES).map(|chunk| {
        let word = |at: usize| Some(u32::from_be_bytes(chunk.get(at..at + 4)?.try_into().ok()?));
        let flags = *chunk.get(BYTES - 1)?;
        let has = |bit: u8| flags & (1 << bit) != 0;
        let mark = Mark { first: word(4)?, last: word(8)?, is_step: has(0), counted: has(1), sent: has(2) };
        Some((word(0)?, mark))
    });
    marks.collect()
}
