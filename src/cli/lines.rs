//! Files of lines, such as records and logs -> chunks of whole lines, held in memory a few at a time; and what is wrong with some.

use std::cmp::Reverse;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::{counted, stdin_once, tell};
use crate::source::files::{self, is_stdin};

/// Lines are handed on in chunks of about so many bytes.
const CHUNK: usize = 256 << 10;
/// Problems of the input that are told one by one.
const TOLD: usize = 20;
/// No line of ours is longer: a pod's metadata is bounded, and of the rest only names are kept.
const LONGEST: usize = 8 << 20;

/// Lines of one file.
#[derive(Debug)]
pub(in crate::cli) struct Chunk {
    /// The file's name in messages.
    pub source: Arc<str>,
    /// The number of the first line.
    first: u64,
    /// Whole lines; only a file's last may lack its end.
    text: Vec<u8>,
    /// So many bytes of the file this is.
    pub bytes: usize,
    problem: Option<Problem>,
}

/// What is wrong behind the lines of a chunk.
#[derive(Debug)]
struct Problem {
    /// The line that is passed over; `None` where the file cannot be read any further.
    line: Option<u64>,
    /// What is wrong and what to do.
    message: String,
}

impl Chunk {
    /// What is wrong behind the lines, with its place.
    pub fn problem(&self) -> Option<String> {
        let Problem { line, message } = self.problem.as_ref()?;
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        Some(format!("error: {}{line}: {message}", self.source))
    }

    /// Lines that hold something: number, text, and whether the line has its end.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &[u8], bool)> {
        let whole = self.text.ends_with(b"\n");
        let mut lines = self.text.split(|byte| *byte == b'\n').enumerate().peekable();
        std::iter::from_fn(move || {
            let (at, line) = lines.next()?;
            Some((self.first + at as u64, line, whole || lines.peek().is_some()))
        })
        .filter(|(_, line, _)| !line.trim_ascii().is_empty())
    }
}

/// All files, in order.
pub(in crate::cli) struct Chunks {
    origins: std::vec::IntoIter<PathBuf>,
    current: Option<Open>,
}

struct Open {
    source: Arc<str>,
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

/// The files that the arguments name, and their length where it is known.
///
/// # Errors
/// stdin is named twice, or a folder cannot be listed or is empty.
pub(in crate::cli) fn chunks(paths: &[PathBuf]) -> anyhow::Result<(Chunks, Option<u64>)> {
    stdin_once(paths)?;
    let mut origins = Vec::new();
    for path in paths {
        if is_stdin(path) || !path.is_dir() {
            origins.push(path.clone());
            continue;
        }
        let found = in_folder(path).map_err(|error| anyhow!("{}: {}", path.display(), files::cannot(&error)))?;
        if found.is_empty() {
            bail!("{}: no file in this folder", path.display());
        }
        origins.extend(found);
    }
    let total = files::length(&origins);
    Ok((Chunks { origins: origins.into_iter(), current: None }, total))
}

/// The files of a folder, those that were rotated first, the oldest before the others.
fn in_folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && file.is_file() {
            files.push(file);
        }
    }
    let age = |file: &Path| file.extension().and_then(|end| end.to_str()?.parse::<u32>().ok());
    files.sort_by_key(|file| {
        let age = age(file);
        (age.map_or_else(|| file.clone(), |_| file.with_extension("")), Reverse(age))
    });
    Ok(files)
}

impl Iterator for Chunks {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        loop {
            let Some(open) = &mut self.current else {
                let path = self.origins.next()?;
                match start(&path) {
                    Ok(open) => self.current = Some(open),
                    Err(chunk) => return Some(chunk),
                }
                continue;
            };
            let chunk = open.chunk();
            let ends = match &chunk.problem {
                Some(problem) => problem.line.is_none(),
                None => chunk.text.is_empty(),
            };
            if ends {
                self.current = None;
            }
            if chunk.problem.is_some() || !chunk.text.is_empty() {
                return Some(chunk);
            }
        }
    }
}

fn start(path: &Path) -> Result<Open, Chunk> {
    let source: Arc<str> = if is_stdin(path) { "stdin".into() } else { path.display().to_string().into() };
    let reader: Box<dyn Read + Send> = if is_stdin(path) {
        Box::new(io::stdin())
    } else {
        match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => {
                let problem = Some(Problem { line: None, message: files::cannot(&error) });
                return Err(Chunk { source, first: 1, text: Vec::new(), bytes: 0, problem });
            }
        }
    };
    Ok(Open { source, reader: Box::new(BufReader::with_capacity(CHUNK, reader)), line: 1 })
}

impl Open {
    /// The next lines, to one that is too long at the most; empty at the end of the file.
    fn chunk(&mut self) -> Chunk {
        let mut chunk =
            Chunk { source: self.source.clone(), first: self.line, text: Vec::new(), bytes: 0, problem: None };
        while chunk.problem.is_none() && chunk.text.len() < CHUNK {
            let before = chunk.text.len();
            let read = self.reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut chunk.text);
            match read {
                Ok(0) => break,
                Ok(LONGEST) if !chunk.text.ends_with(b"\n") => {
                    // Nothing of it is kept, nor the room it took.
                    chunk.text.truncate(before);
                    chunk.text.shrink_to_fit();
                    chunk.bytes += LONGEST;
                    chunk.problem = Some(self.pass_over(&mut chunk.bytes));
                }
                Ok(read) => {
                    chunk.bytes += read;
                    self.line += 1;
                }
                Err(error) => chunk.problem = Some(Problem { line: None, message: files::cannot(&error) }),
            }
        }
        chunk
    }

    /// Goes on behind a line of which the beginning was too long; `bytes` counts what that was.
    fn pass_over(&mut self, bytes: &mut usize) -> Problem {
        // What cannot be read here cannot be read as the next line either, and is told then.
        *bytes += self.reader.skip_until(b'\n').unwrap_or_default();
        let line = Some(self.line);
        self.line += 1;
        let message =
            format!("over {} MiB, and no line of ours is: passed over; is this the right file?", LONGEST >> 20);
        Problem { line, message }
    }
}

/// What there is to say of the lines of a chunk.
#[derive(Debug, Default)]
pub(in crate::cli) struct Said {
    /// Lines that are not what they should be, and what ends the file.
    pub problems: Vec<String>,
    /// What is passed over without harm.
    pub notes: Vec<String>,
}

/// Does something with each line of a chunk; what there is to say of those that are not what they should be.
pub(in crate::cli) fn each_line<'c, E: fmt::Display>(
    chunk: &'c Chunk,
    mut work: impl FnMut(&'c [u8]) -> Result<(), E>,
) -> Said {
    let mut said = Said::default();
    for (at, line, whole) in chunk.lines() {
        let Err(error) = work(line) else { continue };
        let place = format!("{}:{at}", chunk.source);
        if whole {
            said.problems.push(format!("error: {place}: {error}"));
        } else {
            said.notes.push(format!("note: {place}: passed over: the last line is still being written"));
        }
    }
    said.problems.extend(chunk.problem());
    said
}

/// The problems of the input; the first are told one by one.
#[derive(Debug, Default)]
pub(in crate::cli) struct Problems {
    pub count: usize,
}

impl Problems {
    /// Tells what is said of a chunk.
    pub fn take(&mut self, said: Said, tell: impl Fn(String)) {
        for problem in said.problems {
            self.count += 1;
            if self.count <= TOLD {
                tell(problem);
            }
        }
        said.notes.into_iter().for_each(tell);
    }

    /// Tells how many more there were.
    pub fn end(&self) {
        if self.count > TOLD {
            tell(format!("error: {} more", counted(self.count - TOLD, "line", "lines")));
        }
    }
}
