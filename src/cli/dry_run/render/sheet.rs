//! Puts the pieces of all batches one after another: what goes before, between and behind them.

use std::io::{self, Write};

use super::super::args::{Format, Output};
use super::super::step::{Done, Tally};
use super::junit::{Case, Names, Suite};
use super::{JSON_SEPARATOR, Piece, YAML_SEPARATOR, finding, html};
use crate::cli::palette::{Palette, Tone};
use crate::cli::progress::Progress;
use crate::cli::sarif;

/// The output.
pub(crate) struct Sheet<O, E> {
    out: O,
    err: E,
    output: Output,
    palette: Palette,
    progress: Progress,
    widths: [usize; 3],
    suite: Option<Suite>,
    names: Names,
    found: Vec<sarif::Result>,
    /// Nothing has been written yet.
    fresh: bool,
    tally: Tally,
    buffer: Vec<u8>,
}

impl<O: Write, E: Write> Sheet<O, E> {
    /// An empty sheet.
    pub fn new(out: O, err: E, output: Output, palette: Palette, progress: Progress) -> Self {
        let (names, found, tally, buffer) = (Names::default(), Vec::new(), Tally::of(output), Vec::new());
        let (widths, suite, fresh) = ([0; 3], None, true);
        Self { out, err, output, palette, progress, widths, suite, names, found, fresh, tally, buffer }
    }

    /// Writes the next batch; `None` stands for one that was lost to a panic.
    ///
    /// # Errors
    /// stdout's.
    pub fn take(&mut self, done: Option<Done>) -> io::Result<()> {
        let Some(done) = done else {
            self.tally.bad += 1;
            self.problem("error: a batch of documents was lost to a fault in stepspan: please report it");
            return Ok(());
        };
        for piece in &done.pieces {
            if let Piece::Row(row) = piece {
                row.widen(&mut self.widths);
            }
        }
        for piece in done.pieces {
            match piece {
                Piece::Row(row) => row.write(self.widths, self.palette, &mut self.buffer),
                Piece::Text(text) | Piece::Pod(_, text) => self.text(text),
                Piece::Case(case) => self.case(&case),
                Piece::Found(result) => self.found.push(result),
                Piece::Problem(text) => {
                    self.flush()?;
                    self.problem(&text);
                }
            }
        }
        self.tally.add(done.tally);
        self.flush()?;
        self.progress.advance(done.bytes, self.tally.pods());
        Ok(())
    }

    /// Writes what is still to be written; the exit code. `named` is what was to be read.
    ///
    /// # Errors
    /// stdout's.
    pub fn end(mut self, named: &str) -> io::Result<u8> {
        match self.output {
            Output::Of(Format::Json) => {
                self.begin();
                self.buffer.extend_from_slice(if self.fresh { b"]}\n" } else { b"\n]}\n" });
            }
            Output::Of(Format::Junit) => {
                self.begin();
                if let Some(suite) = self.suite.take() {
                    suite.write(&mut self.buffer);
                }
                super::line(&mut self.buffer, "</testsuites>");
            }
            Output::Of(Format::Html) => {
                self.begin();
                self.buffer.extend_from_slice(html::foot(self.tally).as_bytes());
            }
            Output::Of(Format::Sarif) => sarif::write(&mut self.buffer, finding::RULES, &self.found)?,
            _ => {}
        }
        self.flush()?;
        self.progress.end();
        if matches!(self.output, Output::Both | Output::Of(Format::Summary) | Output::Compare) {
            let text = self.tally.to_string();
            self.problem(&text);
        }
        if self.tally.is_of_nothing() {
            self.problem(&format!("error: {named}: no Pod, AdmissionReview, Workflow or what starts one to review"));
        }
        let explained = matches!(self.output, Output::Explain | Output::ExplainJson);
        // What is explained is no failure.
        Ok(self.tally.exit_code()).map(|code| if explained && code == 1 { 0 } else { code })
    }

    /// What stands before everything.
    fn begin(&mut self) {
        if !self.fresh {
            return;
        }
        match self.output {
            Output::Of(Format::Json) => {
                self.buffer.extend_from_slice(br#"{"apiVersion":"v1","kind":"List","metadata":{},"items":["#);
            }
            Output::Of(Format::Junit) => {
                super::line(&mut self.buffer, r#"<?xml version="1.0" encoding="UTF-8"?>"#);
                super::line(&mut self.buffer, r#"<testsuites name="stepspan dry-run">"#);
            }
            Output::Of(Format::Html) => self.buffer.extend_from_slice(html::head().as_bytes()),
            _ => {}
        }
    }

    fn text(&mut self, mut text: Vec<u8>) {
        if self.fresh {
            self.begin();
            match self.output {
                Output::Of(Format::Yaml) | Output::Both if text.starts_with(YAML_SEPARATOR) => {
                    drop(text.drain(..YAML_SEPARATOR.len()));
                }
                // The first item stands on a line of its own, as all do.
                Output::Of(Format::Json) if text.starts_with(&JSON_SEPARATOR[..1]) => drop(text.drain(..1)),
                _ => {}
            }
        }
        self.fresh = false;
        if self.buffer.is_empty() {
            self.buffer = text;
        } else {
            self.buffer.extend_from_slice(&text);
        }
    }

    fn case(&mut self, case: &Case) {
        self.begin();
        self.fresh = false;
        if let Some(other) = self.suite.take_if(|suite| !suite.holds(case)) {
            other.write(&mut self.buffer);
        }
        self.suite.get_or_insert_with(|| Suite::new(case.suite.clone())).add(case, &mut self.names);
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.out.write_all(&self.buffer)?;
            self.out.flush()?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// A line to stderr. Nobody is left to tell if it is closed.
    fn problem(&mut self, text: &str) {
        let err = &mut self.err;
        self.progress.aside(|| {
            let _ = match text.strip_prefix("error: ") {
                Some(rest) => writeln!(err, "{}: {rest}", Palette::new(true).paint(Tone::Bad, "error")),
                None => writeln!(err, "{text}"),
            };
        });
    }
}
