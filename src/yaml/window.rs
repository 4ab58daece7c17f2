//! The part of a file that is in memory.

use std::io::{self, BufRead};

/// What has been read of a file and not been given out, and the line it starts on.
#[derive(Debug)]
pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The buffer before this has been given out.
    start: usize,
    line: usize,
}

impl<R: BufRead> Window<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, line: 1 }
    }

    /// The line of the file on which the window starts, from 1.
    pub(super) const fn line(&self) -> usize {
        self.line
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Reads on by one buffer of the reader. False at the end of the input.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        // At most as many bytes are moved as were given out since the last time.
        if self.start >= self.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let available = loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The second call gives what the first found; it works around a limit of the borrow checker.
                Err(error) => return Err(error),
                Ok(_) => break self.reader.fill_buf()?,
            }
        };
        let length = available.len();
        self.buffer.extend_from_slice(available);
        self.reader.consume(length);
        Ok(length > 0)
    }

    /// The end of the line that starts at `from`, as far as it has been read.
    pub(super) fn line_so_far(&self, from: usize) -> usize {
        memchr::memchr(b'\n', &self.bytes()[from..]).map_or(self.len(), |i| from + i + 1)
    }

    /// The end of the line that starts at `from`, its line break included; reads until it is there. At most `max` bytes
    /// are kept: `None` if there are more.
    pub(super) fn line_end(&mut self, from: usize, max: usize) -> io::Result<Option<usize>> {
        let mut searched = from;
        loop {
            if let Some(i) = memchr::memchr(b'\n', &self.bytes()[searched..]) {
                let end = searched + i + 1;
                return Ok((end <= max).then_some(end));
            }
            searched = self.len();
            if searched > max {
                return Ok(None);
            }
            if !self.fill()? {
                return Ok(Some(searched));
            }
        }
    }

    /// Forgets everything up to and including the next line break. False if the input ends before it.
    pub(super) fn skip_line(&mut self) -> io::Result<bool> {
        loop {
            if let Some(i) = memchr::memchr(b'\n', self.bytes()) {
                self.skip(i + 1);
                return Ok(true);
            }
            self.skip(self.len());
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Reads until there are `count` bytes, or the input ends.
    pub(super) fn at_least(&mut self, count: usize) -> io::Result<()> {
        while self.len() < count && self.fill()? {}
        Ok(())
    }

    /// Forgets the first bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.bytes()[..count]).count();
        self.start += count;
    }

    /// Gives out the first bytes.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let front = self.bytes()[..count].to_vec();
        self.skip(count);
        front
    }
}
