//! The few colours, each for one meaning.

use std::{fmt::Display, io};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// When to colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    on: bool,
}

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// What one looks for first.
    Strong,
    /// What one may look past.
    Quiet,
    /// Done, or added.
    Good,
    /// Removed, or failed.
    Bad,
    /// Where one is.
    Place,
    /// What one should look at.
    Warning,
}

impl Palette {
    /// With colours or without.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// For stdout.
    pub fn of(colour: Colour) -> Self {
        Self::new(match colour {
            Colour::Always => true,
            Colour::Never => false,
            // Obeys NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM.
            Colour::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        })
    }

    /// The text in its colour.
    pub fn paint(self, tone: Tone, text: impl Display) -> String {
        let style = tone.style();
        if self.on && tone != Tone::Plain { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Quiet => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Place => AnsiColor::Cyan.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
        }
    }
}

/// A text from outside that cannot move the cursor, colour the terminal or turn the line around.
pub(crate) fn harmless(text: &str) -> String {
    let unsafe_ = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(unsafe_) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if unsafe_(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The characters with `Bidi_Control` (Unicode, `PropList.txt`).
    const TURNING: &str =
        "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";

    #[test]
    fn no_text_turns_its_line_around() {
        for turning in TURNING.chars() {
            let shown = harmless(&format!("nimda{turning}=user"));
            assert_eq!(shown, format!("nimda\\u{{{:x}}}=user", u32::from(turning)));
        }
        assert_eq!(harmless("שלום"), "שלום");
    }
}
