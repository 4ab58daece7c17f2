//! A condition -> its tokens, as govaluate's `readToken` cuts them: signs that stand together are one, quotes of either kind end a text, a
//! backslash keeps what follows.

use super::dates;
use super::judge::{Item, Trouble};

/// What a token is, which decides what may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Prefix,
    Number,
    Bool,
    /// A bare word: a variable to govaluate, a text to Argo.
    Word,
    /// A word with a dot.
    Accessor,
    Text,
    /// A text after `=~` or `!~`.
    Pattern,
    /// A text that is a date.
    Time,
    Comparator,
    Logical,
    Modifier,
    Ternary,
    Separator,
    Open,
    Close,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: Kind,
    /// What a value holds.
    pub item: Item,
    /// The sign of what is no value.
    pub sign: &'static str,
}

impl Token {
    fn value(kind: Kind, item: Item) -> Self {
        Self { kind, item, sign: "" }
    }

    fn sign(kind: Kind, sign: &'static str) -> Self {
        Self { kind, item: Item::Nothing, sign }
    }
}

/// Signs besides the prefixes, which are looked for first.
const SIGNS: [(&str, Kind); 24] = [
    ("+", Kind::Modifier),
    ("-", Kind::Modifier),
    ("*", Kind::Modifier),
    ("/", Kind::Modifier),
    ("%", Kind::Modifier),
    ("**", Kind::Modifier),
    ("&", Kind::Modifier),
    ("|", Kind::Modifier),
    ("^", Kind::Modifier),
    (">>", Kind::Modifier),
    ("<<", Kind::Modifier),
    ("&&", Kind::Logical),
    ("||", Kind::Logical),
    ("==", Kind::Comparator),
    ("!=", Kind::Comparator),
    (">", Kind::Comparator),
    (">=", Kind::Comparator),
    ("<", Kind::Comparator),
    ("<=", Kind::Comparator),
    ("=~", Kind::Comparator),
    ("!~", Kind::Comparator),
    ("?", Kind::Ternary),
    (":", Kind::Ternary),
    ("??", Kind::Ternary),
];
const PREFIXES: [&str; 3] = ["-", "!", "~"];

/// Cuts a condition.
pub(super) fn tokens(when: &str) -> Result<Vec<Token>, Trouble> {
    let mut reader = Reader { signs: when.chars().collect(), at: 0 };
    let mut tokens: Vec<Token> = Vec::new();
    while let Some(first) = reader.take() {
        if !first.is_whitespace() {
            let before = tokens.last().map(|token| token.kind);
            tokens.push(reader.token(first, before)?);
        }
    }
    Ok(tokens)
}

/// Whether one kind of token may follow another (`validLexerStates`); the first follows `None`.
pub(super) fn may_follow(before: Option<Kind>, kind: Kind) -> bool {
    let value =
        matches!(kind, Kind::Number | Kind::Bool | Kind::Word | Kind::Accessor | Kind::Text | Kind::Time | Kind::Open);
    let joint = matches!(kind, Kind::Modifier | Kind::Comparator | Kind::Logical | Kind::Close | Kind::Separator);
    match before {
        None => value || matches!(kind, Kind::Prefix | Kind::Pattern),
        Some(Kind::Open | Kind::Comparator) => value || matches!(kind, Kind::Prefix | Kind::Pattern | Kind::Close),
        Some(Kind::Close) => {
            joint || (value && kind != Kind::Accessor) || matches!(kind, Kind::Pattern | Kind::Ternary)
        }
        Some(Kind::Number | Kind::Bool | Kind::Text | Kind::Word) => joint || kind == Kind::Ternary,
        Some(Kind::Time | Kind::Pattern) => joint,
        Some(Kind::Accessor) => joint || matches!(kind, Kind::Open | Kind::Ternary),
        Some(Kind::Modifier) => (value && kind != Kind::Time) || matches!(kind, Kind::Prefix | Kind::Close),
        Some(Kind::Logical) => value || matches!(kind, Kind::Prefix | Kind::Close),
        Some(Kind::Prefix) => (value && !matches!(kind, Kind::Text | Kind::Time)) || kind == Kind::Close,
        Some(Kind::Ternary) => value || matches!(kind, Kind::Prefix | Kind::Separator),
        Some(Kind::Separator) => value || kind == Kind::Prefix,
    }
}

struct Reader {
    signs: Vec<char>,
    at: usize,
}

impl Reader {
    fn take(&mut self) -> Option<char> {
        let sign = self.signs.get(self.at).copied()?;
        self.at += 1;
        Some(sign)
    }

    fn token(&mut self, first: char, before: Option<Kind>) -> Result<Token, Trouble> {
        Ok(match first {
            '(' => Token::sign(Kind::Open, "("),
            ')' => Token::sign(Kind::Close, ")"),
            ',' => Token::sign(Kind::Separator, ","),
            '\'' | '"' => self.quoted()?,
            '[' => Token::value(Kind::Word, Item::Text(self.up_to("bracket", |c| c != ']')?)),
            '0' if self.signs.get(self.at) == Some(&'x') && self.at + 1 < self.signs.len() => self.hex()?,
            c if is_numeric(c) => self.number()?,
            c if c.is_alphabetic() => self.word()?,
            _ => self.symbol(before)?,
        })
    }

    /// As far as the signs fit (`readUntilFalse`), and whether something ended it; spaces end it, unless they are a part of it.
    fn until(&mut self, with_spaces: bool, fits: impl Fn(char) -> bool) -> Result<(String, bool), Trouble> {
        let mut read = String::new();
        while let Some(c) = self.take() {
            if c == '\\' {
                read.push(self.take().ok_or_else(|| Trouble::Wrong("it ends with a backslash".to_owned()))?);
            } else if c.is_whitespace() && !with_spaces {
                if !read.is_empty() {
                    return Ok((read, true));
                }
            } else if fits(c) {
                read.push(c);
            } else {
                self.at -= 1;
                return Ok((read, true));
            }
        }
        Ok((read, false))
    }

    /// What stands before the sign that ends it.
    fn up_to(&mut self, what: &str, fits: impl Fn(char) -> bool) -> Result<String, Trouble> {
        let (text, ended) = self.until(true, fits)?;
        if !ended {
            return Err(Trouble::Wrong(format!("a {what} is not closed")));
        }
        self.at += 1;
        Ok(text)
    }

    /// From the sign on that has been read.
    fn again(&mut self, fits: impl Fn(char) -> bool) -> Result<String, Trouble> {
        self.at -= 1;
        self.until(false, fits).map(|(text, _)| text)
    }

    fn quoted(&mut self) -> Result<Token, Trouble> {
        let text = self.up_to("quote", |c| c != '\'' && c != '"')?;
        if dates::is_in_words(&text) {
            return Err(Trouble::Beyond);
        }
        Ok(match dates::seconds(&text) {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a year of four digits")]
            Some(seconds) => Token::value(Kind::Time, Item::Number(seconds as f64)),
            None => Token::value(Kind::Text, Item::Text(text)),
        })
    }

    fn hex(&mut self) -> Result<Token, Trouble> {
        self.at += 1;
        let (digits, _) = self.until(false, |c| c.is_ascii_hexdigit())?;
        let read = u64::from_str_radix(&digits, 16).ok().filter(|_| digits.chars().all(|c| c.is_ascii_hexdigit()));
        let value = read.ok_or_else(|| Trouble::Wrong(format!("0x{digits} is no number")))?;
        #[expect(clippy::cast_precision_loss, reason = "govaluate has no other numbers")]
        let value = value as f64;
        Ok(Token::value(Kind::Number, Item::Number(value)))
    }

    fn number(&mut self) -> Result<Token, Trouble> {
        let text = self.again(is_numeric)?;
        // What a backslash keeps may be anything.
        let read = text.parse::<f64>().ok().filter(|number| number.is_finite() && text.chars().all(is_numeric));
        let number = read.ok_or_else(|| Trouble::Wrong(format!("{text} is no number")))?;
        Ok(Token::value(Kind::Number, Item::Number(number)))
    }

    fn word(&mut self) -> Result<Token, Trouble> {
        let word = self.again(|c| c.is_alphanumeric() || c == '_' || c == '.')?;
        Ok(match word.as_str() {
            "true" | "false" => Token::value(Kind::Bool, Item::Bool(word == "true")),
            "in" | "IN" => Token::sign(Kind::Comparator, "in"),
            _ => match word.split_once('.') {
                None => Token::value(Kind::Word, Item::Text(word)),
                // Fields with a capital can be asked for, of variables that are not there.
                Some((_, fields)) => {
                    let hidden = |field: &str| field.starts_with(char::is_lowercase);
                    if word.ends_with('.') || fields.split('.').any(hidden) {
                        return Err(Trouble::Wrong(format!("{word} stands without quotes, and has a dot")));
                    }
                    Token::value(Kind::Accessor, Item::Text(word))
                }
            },
        })
    }

    fn symbol(&mut self, before: Option<Kind>) -> Result<Token, Trouble> {
        let text = self.again(|c| !(c.is_alphanumeric() || matches!(c, '(' | ')' | '[' | ']' | '\'' | '"')))?;
        if may_follow(before, Kind::Prefix)
            && let Some(sign) = PREFIXES.into_iter().find(|sign| *sign == text)
        {
            return Ok(Token::sign(Kind::Prefix, sign));
        }
        let known = SIGNS.into_iter().find(|(sign, _)| *sign == text);
        let (sign, kind) = known.ok_or_else(|| Trouble::Wrong(format!("{text:?} has no meaning there")))?;
        Ok(Token::sign(kind, sign))
    }
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}
