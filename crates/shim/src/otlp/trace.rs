//! `ExportTraceServiceRequest` with one span.

use super::wire::Message;
use super::{Attributes, attributes, request};

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u64 = 1;
/// Flags of spans and links: the lowest byte is the W3C one; 0x100 says that 0x200 (the context is remote) is known.
const SAMPLED: u32 = 1;
const REMOTE_KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// A span's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing to say: a success is not OK by an author's word.
    Unset,
    /// ERROR, and why.
    Error(String),
}

/// A link to a span of another trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// 16 bytes.
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    pub span_id: Vec<u8>,
    /// Its flag.
    pub sampled: bool,
}

/// One span. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the field's name in the specification")]
pub struct Span {
    /// 16 bytes.
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    pub span_id: Vec<u8>,
    /// 8 bytes, empty for a root.
    pub parent: Vec<u8>,
    /// The name.
    pub name: String,
    /// When the shim started.
    pub start: u64,
    /// When the command ended.
    pub end: u64,
    /// Attributes of the span.
    pub attributes: Attributes,
    /// Links.
    pub links: Vec<Link>,
    /// Its status.
    pub status: Status,
    /// The sampling decision; a failed step may be exported although it is not sampled.
    pub sampled: bool,
}

/// The serialised request.
pub fn export_trace(span: &Span, resource: &Attributes) -> Vec<u8> {
    request(resource, |scope| scope.message(2, |message| write(message, span)))
}

fn write(message: &mut Message, span: &Span) {
    let sampled = |sampled: bool| if sampled { SAMPLED } else { 0 };
    message.bytes(1, &span.trace_id);
    message.bytes(2, &span.span_id);
    message.bytes(4, &span.parent);
    message.bytes(5, &span.name);
    message.varint(6, INTERNAL);
    message.fixed64(7, span.start);
    message.fixed64(8, span.end);
    attributes(message, 9, &span.attributes);
    for link in &span.links {
        message.message(13, |message| {
            message.bytes(1, &link.trace_id);
            message.bytes(2, &link.span_id);
            message.fixed32(6, sampled(link.sampled) | REMOTE_KNOWN | REMOTE);
        });
    }
    if let Status::Error(why) = &span.status {
        message.message(15, |status| {
            status.bytes(2, why);
            status.varint(3, 2);
        });
    }
    // The parent is a span of another process.
    let remote = if span.parent.is_empty() { 0 } else { REMOTE };
    message.fixed32(16, sampled(span.sampled) | REMOTE_KNOWN | remote);
}
