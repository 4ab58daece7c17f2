//! Tokens -> what they come to (govaluate's `stagePlanner.go` and `evaluationStage.go`).
//!
//! Everything is reckoned as it is read. What is not looked at where the left side decides may be wrong: so a wrong value is one, until
//! something asks for it.

use std::fmt;

use regex::Regex;

use super::lex::{self, Kind, Token, may_follow};

/// Deepest nesting of parentheses that is read.
const MAX_DEPTH: usize = 64;

/// What a part of a condition comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// `()`, and `?` without its other half.
    Nothing,
    Bool(bool),
    Number(f64),
    Text(String),
    Pattern(String),
    List(Vec<Self>),
}

/// Why it comes to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trouble {
    /// Argo refuses it.
    Wrong(String),
    /// Argo may not: it is not read here.
    Beyond,
}

type Answer = Result<Item, Trouble>;

/// What a condition comes to.
pub(super) fn value(when: &str) -> Answer {
    let tokens = prepared(lex::tokens(when)?)?;
    // What stands behind a value without a sign between them is not looked at.
    Parser { tokens, at: 0, depth: 0 }.level(0)?
}

/// The tokens as Argo hands them on: what is no condition at all is refused, bare words become texts.
fn prepared(mut tokens: Vec<Token>) -> Result<Vec<Token>, Trouble> {
    let count = |kind: Kind| tokens.iter().filter(|token| token.kind == kind).count();
    if count(Kind::Open) != count(Kind::Close) {
        return Err(Trouble::Wrong("a parenthesis is not closed".to_owned()));
    }
    in_order(&tokens)?;
    // Argo makes texts of words after govaluate has looked at it once, and then has it look again.
    with_patterns(&mut tokens)?;
    for token in tokens.iter_mut().filter(|token| token.kind == Kind::Word) {
        token.kind = Kind::Text;
    }
    in_order(&tokens)?;
    with_patterns(&mut tokens)?;
    Ok(tokens)
}

fn in_order(tokens: &[Token]) -> Result<(), Trouble> {
    let mut before: Option<&Token> = None;
    for token in tokens {
        if !may_follow(before.map(|before| before.kind), token.kind) {
            let after = before.map(|before| format!(" after {}", shown(before))).unwrap_or_default();
            return Err(Trouble::Wrong(format!("{} has no meaning{after}", shown(token))));
        }
        before = Some(token);
    }
    let ends =
        [Kind::Close, Kind::Number, Kind::Bool, Kind::Text, Kind::Time, Kind::Pattern, Kind::Word, Kind::Accessor];
    if before.is_some_and(|last| ends.contains(&last.kind)) {
        return Ok(());
    }
    Err(Trouble::Wrong("it ends where a value should stand".to_owned()))
}

fn shown(token: &Token) -> String {
    if token.sign.is_empty() { token.item.to_string() } else { token.sign.to_owned() }
}

fn with_patterns(tokens: &mut [Token]) -> Result<(), Trouble> {
    let mut after = false;
    for token in tokens {
        if after && token.kind == Kind::Text {
            let pattern = token.item.to_string();
            compiled(&pattern)?;
            (token.kind, token.item) = (Kind::Pattern, Item::Pattern(pattern));
        }
        after = matches!(token.sign, "=~" | "!~");
    }
    Ok(())
}

/// A pattern, where both libraries read it alike.
fn compiled(pattern: &str) -> Result<Regex, Trouble> {
    let has = |signs: &[&str]| signs.iter().any(|sign| pattern.contains(sign));
    if pattern.contains('[') && has(&["&&", "--", "~~"]) {
        return Err(Trouble::Beyond);
    }
    Regex::new(pattern).map_err(|error| match error {
        regex::Error::Syntax(why) if !has(&["\\Q", "\\C", "\\0"]) && pattern.matches('[').count() < 2 => {
            Trouble::Wrong(why)
        }
        _ => Trouble::Beyond,
    })
}

/// Signs that bind alike, those that bind least first; all of them from the left.
static LEVELS: [(Kind, &[&str]); 10] = [
    (Kind::Separator, &[","]),
    (Kind::Ternary, &["?", ":", "??"]),
    (Kind::Logical, &["||"]),
    (Kind::Logical, &["&&"]),
    (Kind::Comparator, &["==", "!=", ">", ">=", "<", "<=", "=~", "!~", "in"]),
    (Kind::Modifier, &["&", "|", "^"]),
    (Kind::Modifier, &["<<", ">>"]),
    (Kind::Modifier, &["+", "-"]),
    (Kind::Modifier, &["*", "/", "%"]),
    (Kind::Modifier, &["**"]),
];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    /// What it comes to from here on. The outer error ends all of it, the inner one only what asks for it.
    fn level(&mut self, level: usize) -> Result<Answer, Trouble> {
        let Some((kind, signs)) = LEVELS.get(level) else { return self.value() };
        let mut left = self.level(level + 1)?;
        while let Some(token) = self.tokens.get(self.at)
            && token.kind == *kind
            && signs.contains(&token.sign)
        {
            let sign = token.sign;
            self.at += 1;
            let right = self.level(level + 1)?;
            left = applied(left, sign, right);
        }
        Ok(left)
    }

    fn value(&mut self) -> Result<Answer, Trouble> {
        let Some(token) = self.tokens.get(self.at).cloned() else { return Ok(Ok(Item::Nothing)) };
        self.at += 1;
        match token.kind {
            Kind::Open => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Trouble::Beyond);
                }
                let inner = self.level(0)?;
                self.depth -= 1;
                // Whatever stands there, as govaluate has it.
                self.at += 1;
                Ok(inner)
            }
            Kind::Close => {
                self.at -= 1;
                Ok(Ok(Item::Nothing))
            }
            Kind::Accessor => {
                if self.tokens.get(self.at).is_some_and(|next| next.kind == Kind::Open) {
                    drop(self.level(0)?);
                }
                Ok(Err(Trouble::Wrong(format!("{} stands without quotes, and has a dot", token.item))))
            }
            Kind::Prefix => {
                let of = self.value()?;
                Ok(of.and_then(|of| prefixed(token.sign, of)))
            }
            Kind::Number | Kind::Bool | Kind::Text | Kind::Word | Kind::Pattern | Kind::Time => Ok(Ok(token.item)),
            Kind::Comparator | Kind::Logical | Kind::Modifier | Kind::Ternary | Kind::Separator => {
                Err(Trouble::Wrong(format!("{} stands where a value should", token.sign)))
            }
        }
    }
}

fn meaningless<T>(sign: &str) -> Result<T, Trouble> {
    Err(Trouble::Wrong(format!("{sign} of these has no meaning")))
}

fn prefixed(sign: &str, of: Item) -> Answer {
    match (sign, of) {
        ("!", Item::Bool(truth)) => Ok(Item::Bool(!truth)),
        ("-", Item::Number(number)) => Ok(Item::Number(-number)),
        ("~", Item::Number(number)) => bits(number, 0.0, |number, _| !number),
        _ => meaningless(sign),
    }
}

fn applied(left: Answer, sign: &str, right: Answer) -> Answer {
    let left = left?;
    let decided = match (sign, &left) {
        ("&&", Item::Bool(false)) | ("||", Item::Bool(true)) => true,
        (":" | "??", left) => *left != Item::Nothing,
        _ => false,
    };
    if decided {
        return Ok(left);
    }
    if sign == "?" && left == Item::Bool(false) {
        return Ok(Item::Nothing);
    }
    match (sign, left, right?) {
        ("==", left, right) => Ok(Item::Bool(left == right)),
        ("!=", left, right) => Ok(Item::Bool(left != right)),
        ("&&" | "||", Item::Bool(_), Item::Bool(right)) => Ok(Item::Bool(right)),
        ("?", Item::Bool(_), right) | (":" | "??", Item::Nothing, right) => Ok(right),
        (",", Item::List(mut all), right) => {
            all.push(right);
            Ok(Item::List(all))
        }
        (",", left, right) => Ok(Item::List(vec![left, right])),
        // Go cannot compare lists so.
        ("in", Item::List(_), Item::List(all)) if all.iter().any(|one| matches!(one, Item::List(_))) => {
            meaningless(sign)
        }
        ("in", left, Item::List(all)) => Ok(Item::Bool(all.contains(&left))),
        ("=~" | "!~", Item::Text(text), Item::Text(pattern) | Item::Pattern(pattern)) => {
            Ok(Item::Bool(compiled(&pattern)?.is_match(&text) == (sign == "=~")))
        }
        ("<" | "<=" | ">" | ">=", left, right) => ordered(&left, sign, &right),
        ("+", left, right) if matches!(left, Item::Text(_)) || matches!(right, Item::Text(_)) => {
            Ok(Item::Text(format!("{left}{right}")))
        }
        (sign, Item::Number(left), Item::Number(right)) => computed(left, sign, right),
        _ => meaningless(sign),
    }
}

fn ordered(left: &Item, sign: &str, right: &Item) -> Answer {
    let order = match (left, right) {
        (Item::Number(left), Item::Number(right)) => left.partial_cmp(right),
        (Item::Text(left), Item::Text(right)) => Some(left.cmp(right)),
        _ => return meaningless(sign),
    };
    Ok(Item::Bool(order.is_some_and(|order| match sign {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })))
}

fn computed(left: f64, sign: &str, right: f64) -> Answer {
    Ok(Item::Number(match sign {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" => left / right,
        "%" => left % right,
        "**" => return power(left, right),
        "&" => return bits(left, right, |left, right| left & right),
        "|" => return bits(left, right, |left, right| left | right),
        "^" => return bits(left, right, |left, right| left ^ right),
        "<<" | ">>" => return shifted(left, sign, right),
        _ => return meaningless(sign),
    }))
}

/// Whole numbers that a float holds are exact; others may differ in the last digit.
fn power(base: f64, exponent: f64) -> Answer {
    let exact = base.fract() == 0.0 && exponent.fract() == 0.0 && (0.0..=64.0).contains(&exponent);
    #[expect(clippy::cast_possible_truncation, reason = "whole, and at most 64")]
    let value = if exact { base.powi(exponent as i32) } else { f64::INFINITY };
    if value.abs() < 9e15 { Ok(Item::Number(value)) } else { Err(Trouble::Beyond) }
}

/// Of numbers that are too large each machine makes something else.
#[expect(clippy::cast_possible_truncation, reason = "Go cuts too, and what is too large is not read")]
#[expect(clippy::cast_precision_loss, reason = "govaluate has no other numbers")]
fn bits(left: f64, right: f64, of: impl Fn(i64, i64) -> i64) -> Answer {
    let fits = |number: f64| number.abs() < 9e18;
    if fits(left) && fits(right) {
        Ok(Item::Number(of(left as i64, right as i64) as f64))
    } else {
        Err(Trouble::Beyond)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "Go cuts too, and what is too large is not read")]
#[expect(clippy::cast_sign_loss, reason = "what is below zero is not read")]
#[expect(clippy::cast_precision_loss, reason = "govaluate has no other numbers")]
fn shifted(number: f64, sign: &str, by: f64) -> Answer {
    let fits = |number: f64| (0.0..1.8e19).contains(&number);
    if !fits(number) || !fits(by) {
        return Err(Trouble::Beyond);
    }
    let by = u32::try_from(by as u64).unwrap_or(u32::MAX);
    let number = number as u64;
    let made = if sign == "<<" { number.checked_shl(by) } else { number.checked_shr(by) };
    Ok(Item::Number(made.unwrap_or(0) as f64))
}

/// As Go writes a value (`%v`).
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("<nil>"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(number) => write_number(*number, f),
            Self::Text(text) | Self::Pattern(text) => f.write_str(text),
            Self::List(all) => {
                let all: Vec<String> = all.iter().map(Self::to_string).collect();
                write!(f, "[{}]", all.join(" "))
            }
        }
    }
}

fn write_number(number: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if number.is_infinite() {
        return f.write_str(if number > 0.0 { "+Inf" } else { "-Inf" });
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e').and_then(|(digits, power)| Some((digits, power.parse::<i32>().ok()?))) {
        Some((digits, power)) if !(-4..6).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            write!(f, "{digits}e{sign}{:02}", power.abs())
        }
        _ => write!(f, "{number}"),
    }
}
