//! Regular expressions, compiled once, with a price for each byte they look at.
//!
//! Matching is linear in the text, but the factor grows with the pattern: one whose states keep changing is simulated
//! state by state, at some microseconds a byte. The price follows the number of states. What `\w` adds for all letters
//! of Unicode makes a pattern large but not slow, so states are counted without it.

use regex::{Regex, RegexBuilder, bytes};

use super::bounds::{Meter, REGEX_BYTES};
use super::error::EvalError;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Ticks for each byte of text.
    price: usize,
}

impl Pattern {
    /// Compiles `pattern`, or says what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build();
        Ok(Self { regex: built.map_err(|error| reason(&error))?, price: price(pattern) })
    }

    /// Whether the pattern is found in `text`.
    pub(super) fn is_match(&self, text: &str, meter: &mut Meter) -> Result<bool, EvalError> {
        meter.charge_match(text.len(), self.price)?;
        Ok(self.regex.is_match(text))
    }
}

/// Two ticks for each KiB of the compiled form, rounded up to a power of two.
fn price(pattern: &str) -> usize {
    let sizes = || (0..).map(|power| 1_usize << power).take_while(|kib| kib * 1024 < REGEX_BYTES);
    let fits = |kib: &usize| bytes::RegexBuilder::new(pattern).unicode(false).size_limit(kib * 1024).build().is_ok();
    // Classes such as `\p{L}` exist in Unicode only.
    let fits_whole = |kib: &usize| RegexBuilder::new(pattern).size_limit(kib * 1024).build().is_ok();
    2 * sizes().find(fits).or_else(|| sizes().find(fits_whole)).unwrap_or(REGEX_BYTES / 1024)
}

/// The last line of a regex error says what is wrong; those before it repeat the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}
