//! Choices drawn from a row of bytes; the plainest choice is at 0, so a failing case shrinks towards the plainest pod.

use proptest::prelude::*;

/// Bytes that are used up one by one; after the last, every choice is the plainest.
pub struct Dice<'a>(std::slice::Iter<'a, u8>);

/// Texts that have broken injectors, shells, templates and parsers.
const HOSTILE: [&str; 32] = [
    "acme/widgets",
    "$(TOKEN)",
    "$$(TOKEN)",
    "$$$(TOKEN)",
    "$",
    "$$",
    "$(",
    "a$(STEP)b$$c",
    "$(ARGO_NODE_ID)",
    "{{x}}",
    "{{=workflow.parameters['x']}}",
    "'; drop \"it\" `x`",
    "two\nlines\r\nand\ta tab\r",
    "ünïcödé ✨ 漢字",
    "\u{1}\u{7f}",
    "\u{85}\u{2028}\u{feff}",
    "a,b=c;d=%41",
    "%7B%25%",
    "</script><b>",
    "\\n\\",
    "service.name=mine,team=x",
    "0",
    "-1",
    "---",
    "true",
    "null",
    " ",
    "name value",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "a.b.c.d",
    "~1~0/",
];

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    pub fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// One in two.
    pub fn often(&mut self) -> bool {
        self.byte() > 127
    }

    /// One in eight.
    pub fn rarely(&mut self) -> bool {
        self.byte() > 223
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Any text: plain, hostile, long, or made of several.
    pub fn text(&mut self) -> String {
        match self.byte() {
            0..=90 => self.pick(&["x", "main", "widgets", "42", "feature-x"]).to_owned(),
            91..=200 => self.pick(&HOSTILE).to_owned(),
            201..=225 => format!("{}{}", self.pick(&HOSTILE), self.pick(&HOSTILE)),
            226..=235 => self.pick(&["é", "$", "\\", "x", "漢", "\n", "%"]).repeat(300),
            236..=240 => "$(TOKEN)x".repeat(1_200),
            241..=245 => String::new(),
            _ => self.pick(&['a', '\u{0}', '\u{1}', '✨', '"', '(']).to_string().repeat(1 + self.below(70)),
        }
    }

    /// A text that is a label's value.
    pub fn label_value(&mut self) -> String {
        self.pick(&["x", "acme-widgets", "42", "false", "a.b_c-d", "", "gold", "system"]).to_owned()
    }
}

/// Rows of bytes, from which everything here is made.
pub fn rows() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..500)
}

/// So many cases, unless `PROPTEST_CASES` says otherwise. Regressions are written down as tests of their own.
pub fn cases(count: u32) -> ProptestConfig {
    let count = if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { count };
    ProptestConfig { cases: count, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}
