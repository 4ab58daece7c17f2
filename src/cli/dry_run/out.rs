//! Stdout, whether or not anybody still reads it.

use std::io::{self, ErrorKind, Write};

/// Goes on taking, and drops what it takes, once the reader has gone away, as `head` does when it has seen enough: what is found in the rest of the
/// input counts all the same.
#[derive(Debug)]
pub(super) struct Out<W> {
    out: W,
    unread: bool,
}

impl<W: Write> Out<W> {
    /// Nobody has gone away yet.
    pub fn new(out: W) -> Self {
        Self { out, unread: false }
    }

    /// Writes, unless nobody reads; `dropped` stands for what was written where it was not.
    fn heard<T>(&mut self, write: impl FnOnce(&mut W) -> io::Result<T>, dropped: T) -> io::Result<T> {
        if self.unread {
            return Ok(dropped);
        }
        match write(&mut self.out) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.unread = true;
                Ok(dropped)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard(|out| out.write(bytes), bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.heard(|out| out.write_all(bytes), ())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.heard(W::flush, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes, then fails.
    struct Fails(Vec<u8>, ErrorKind);

    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() > 4 {
                return Err(self.1.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_other_faults_are_told() {
        let mut out = Out::new(Fails(Vec::new(), ErrorKind::BrokenPipe));
        for text in ["one", "two", "three", "four"] {
            out.write_all(text.as_bytes()).unwrap();
            out.flush().unwrap();
        }
        assert_eq!(out.write(b"five").unwrap(), 4);
        assert_eq!(out.out.0, b"onetwo");
        let mut out = Out::new(Fails(vec![0; 9], ErrorKind::StorageFull));
        assert_eq!(out.write_all(b"one").unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(!out.unread);
    }
}
