//! Where a JSON document ends, without reading it.

/// What the scanner found in the bytes it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The document goes on after these bytes.
    More,
    /// The document ends before this offset.
    End(usize),
    /// From this offset on it is no JSON; the offset starts the byte that cannot be.
    Broken(usize),
}

/// Follows brackets and strings; everything else is left to the JSON reader.
///
/// A bracket that opens where no value may start, a bracket that closes another kind, and a line break in a string are
/// certain signs of a broken document, and let the following ones be found.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Open brackets, one bit each, innermost lowest: 1 for `{`.
    open: u128,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The last byte that is not white space, outside strings; a string counts as its closing quote.
    last: u8,
}

/// `serde_json` stops at this depth, too.
const MAX_DEPTH: u32 = 128;

impl Scanner {
    pub(super) const fn new() -> Self {
        Self { open: 0, depth: 0, in_string: false, escaped: false, last: b':' }
    }

    /// Goes on with the bytes that follow those of the last call.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Found {
        let mut i = 0;
        while i < bytes.len() {
            if self.in_string {
                match self.string(bytes, i) {
                    Ok(next) => i = next,
                    Err(at) => return Found::Broken(at),
                }
                continue;
            }
            let byte = bytes[i];
            match byte {
                b'{' | b'[' => {
                    if !matches!(self.last, b'{' | b'[' | b',' | b':') || self.depth == MAX_DEPTH {
                        return Found::Broken(i);
                    }
                    self.open = (self.open << 1) | u128::from(byte == b'{');
                    self.depth += 1;
                }
                b'}' | b']' => {
                    if self.depth == 0 || (self.open & 1 == 1) != (byte == b'}') {
                        return Found::Broken(i);
                    }
                    self.open >>= 1;
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Found::End(i + 1);
                    }
                }
                b'"' => self.in_string = true,
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                self.last = byte;
            }
            i += 1;
        }
        Found::More
    }

    /// From inside a string to behind its end; `Err` is the offset of a line break in it.
    fn string(&mut self, bytes: &[u8], from: usize) -> Result<usize, usize> {
        let mut i = from;
        if self.escaped {
            self.escaped = false;
            i += 1;
        }
        while let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', bytes.get(i..).unwrap_or_default()) {
            let at = i + found;
            match bytes[at] {
                b'"' => {
                    self.in_string = false;
                    return Ok(at + 1);
                }
                b'\\' if at + 1 == bytes.len() => {
                    self.escaped = true;
                    return Ok(bytes.len());
                }
                b'\\' => i = at + 2,
                _ => return Err(at),
            }
        }
        Ok(bytes.len())
    }
}
