//! `when` of a step or task: the part of govaluate's language that Argo's `shouldExecute` (`workflow/controller/steps.go`) is used with.
//!
//! Bare words are strings, as Argo makes them. What is not decided here (a value that only a run has, a construct that is not
//! read) is [`Undecided`], never a guess.

use regex::Regex;

/// Deepest nesting of parentheses and signs.
const MAX_DEPTH: usize = 64;

/// Why a condition is neither true nor false before the workflow runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A value of an earlier step is in it.
    #[error("{0} is known only at run time")]
    Later(String),
    /// Argo would refuse it, or means something by it that is not read here.
    #[error("`{0}` cannot be judged: {1}")]
    Unclear(String, String),
}

/// Whether the step runs; an empty condition is true.
///
/// # Errors
/// It cannot be said before the workflow runs.
pub fn holds(when: &str) -> Result<bool, Undecided> {
    if when.is_empty() {
        return Ok(true);
    }
    if let Some(start) = when.find("{{") {
        let end = when[start..].find("}}").map_or(when.len(), |end| start + end + 2);
        return Err(Undecided::Later(when[start..end].to_owned()));
    }
    let unclear = |why: String| Undecided::Unclear(when.to_owned(), why);
    let tokens = tokens(when).map_err(unclear)?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    match parser.either().and_then(|value| parser.end().map(|()| value)) {
        Ok(Item::Bool(holds)) => Ok(holds),
        Ok(other) => Err(unclear(format!("it comes to {other:?}, not to true or false"))),
        Err(why) => Err(unclear(why)),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Number(f64),
    Text(String),
    Bool(bool),
    List(Vec<Self>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Value(Item),
    Sign(&'static str),
}

/// Longest first: the first that fits is taken.
const SIGNS: [&str; 20] =
    ["&&", "||", "==", "!=", "<=", ">=", "=~", "!~", "**", "<", ">", "!", "(", ")", ",", "+", "-", "*", "/", "%"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' | '"' => quoted(rest)?,
            '[' => {
                let end = rest.find(']').ok_or("a bracket is not closed")?;
                (Token::Value(Item::Text(rest[1..end].to_owned())), end + 1)
            }
            c if c.is_ascii_digit() || c == '.' => {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                let number = rest[..end].parse().map_err(|_| format!("{} is no number", &rest[..end]))?;
                (Token::Value(Item::Number(number)), end)
            }
            c if c.is_alphabetic() => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
                (word(&rest[..end])?, end)
            }
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| format!("{first:?} has no meaning there"))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn word(word: &str) -> Result<Token, String> {
    match word {
        "true" => Ok(Token::Value(Item::Bool(true))),
        "false" => Ok(Token::Value(Item::Bool(false))),
        "in" | "IN" => Ok(Token::Sign("in")),
        _ if word.contains('.') => Err(format!("{word} stands without quotes, and has a dot")),
        _ => Ok(Token::Value(Item::Text(word.to_owned()))),
    }
}

/// A quoted text up to the next quote of either kind, which is how govaluate reads it; a backslash keeps what follows.
fn quoted(text: &str) -> Result<(Token, usize), String> {
    let mut read = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => read.extend(chars.next().map(|(_, c)| c)),
            '\'' | '"' => return Ok((Token::Value(Item::Text(read)), at + 1)),
            c => read.push(c),
        }
    }
    Err("a quote is not closed".into())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn sign(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) if wanted.contains(sign) => {
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    fn end(&self) -> Result<(), String> {
        if self.at == self.tokens.len() { Ok(()) } else { Err("something stands after its end".into()) }
    }

    fn either(&mut self) -> Result<Item, String> {
        let mut left = self.both()?;
        while self.sign(&["||"]).is_some() {
            let right = self.both()?;
            left = Item::Bool(truth(&left)? | truth(&right)?);
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Item, String> {
        let mut left = self.compared()?;
        while self.sign(&["&&"]).is_some() {
            let right = self.compared()?;
            left = Item::Bool(truth(&left)? & truth(&right)?);
        }
        Ok(left)
    }

    fn compared(&mut self) -> Result<Item, String> {
        let mut left = self.sum()?;
        while let Some(sign) = self.sign(&["==", "!=", "<=", ">=", "<", ">", "=~", "!~", "in"]) {
            let right = self.sum()?;
            left = Item::Bool(compare(&left, sign, &right)?);
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Item, String> {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            let right = self.product()?;
            left = match (left, sign, right) {
                (Item::Number(a), "+", Item::Number(b)) => Item::Number(a + b),
                (Item::Number(a), _, Item::Number(b)) => Item::Number(a - b),
                (Item::Text(a), "+", Item::Text(b)) => Item::Text(a + &b),
                _ => return Err(format!("{sign} of these has no meaning")),
            };
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Item, String> {
        let mut left = self.signed()?;
        while let Some(sign) = self.sign(&["*", "/", "%"]) {
            let (Item::Number(a), Item::Number(b)) = (left, self.signed()?) else {
                return Err(format!("{sign} of these has no meaning"));
            };
            left = Item::Number(match sign {
                "*" => a * b,
                "/" => a / b,
                _ => a % b,
            });
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Item, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".into());
        }
        let value = match self.sign(&["!", "-"]) {
            Some("!") => Item::Bool(!truth(&self.signed()?)?),
            Some(_) => match self.signed()? {
                Item::Number(number) => Item::Number(-number),
                _ => return Err("- of a text has no meaning".into()),
            },
            None => self.value()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn value(&mut self) -> Result<Item, String> {
        if self.sign(&["("]).is_some() {
            let mut items = vec![self.either()?];
            while self.sign(&[","]).is_some() {
                items.push(self.either()?);
            }
            self.sign(&[")"]).ok_or("a parenthesis is not closed")?;
            return Ok(if items.len() == 1 { items.remove(0) } else { Item::List(items) });
        }
        match self.tokens.get(self.at) {
            Some(Token::Value(value)) => {
                self.at += 1;
                Ok(value.clone())
            }
            Some(Token::Sign(sign)) => Err(format!("{sign} stands where a value should")),
            None => Err("it ends where a value should stand".into()),
        }
    }
}

fn truth(item: &Item) -> Result<bool, String> {
    if let Item::Bool(truth) = item { Ok(*truth) } else { Err(format!("{item:?} is neither true nor false")) }
}

fn compare(left: &Item, sign: &str, right: &Item) -> Result<bool, String> {
    let ordered = |wanted: fn(std::cmp::Ordering) -> bool| {
        let order = match (left, right) {
            (Item::Number(a), Item::Number(b)) => a.partial_cmp(b),
            (Item::Text(a), Item::Text(b)) => Some(a.cmp(b)),
            _ => None,
        };
        order.map(wanted).ok_or_else(|| format!("{sign} of these has no meaning"))
    };
    let matched = || match (left, right) {
        (Item::Text(text), Item::Text(pattern)) => {
            Regex::new(pattern).map(|pattern| pattern.is_match(text)).map_err(|error| error.to_string())
        }
        _ => Err(format!("{sign} of these has no meaning")),
    };
    match sign {
        "==" => Ok(left == right),
        "!=" => Ok(left != right),
        "<" => ordered(std::cmp::Ordering::is_lt),
        "<=" => ordered(std::cmp::Ordering::is_le),
        ">" => ordered(std::cmp::Ordering::is_gt),
        ">=" => ordered(std::cmp::Ordering::is_ge),
        "=~" => matched(),
        "!~" => matched().map(|matches| !matches),
        _ => match right {
            Item::List(items) => Ok(items.contains(left)),
            _ => Err("what stands after `in` is no list".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As govaluate judges them, called as Argo calls it.
    #[test]
    fn conditions_as_argo_judges_them() {
        for (when, expected) in [
            ("", true),
            ("heads == heads", true),
            ("heads == 'tails'", false),
            ("\"a b\" != 'a b'", false),
            ("1 == 1.0", true),
            ("1 == '1'", false),
            ("2 > 1 && 10 >= 10", true),
            ("b > a || false", true),
            ("!(true && false)", true),
            ("'v1.2' =~ '^v[0-9]'", true),
            ("abc !~ 'x'", true),
            ("b in (a, b)", true),
            ("c in ('a', 'b')", false),
            ("1 + 2 * 3 == 7", true),
            ("7 % 4 == 3", true),
            ("-1 < 0", true),
            ("true", true),
            ("a == b == false", true),
            ("[x] == y", false),
            ("é == é", true),
        ] {
            assert_eq!(holds(when), Ok(expected), "{when}");
        }
    }

    #[test]
    fn what_only_a_run_knows_or_argo_refuses_is_undecided() {
        let later = Undecided::Later("{{steps.flip.outputs.result}}".into());
        assert_eq!(holds("{{steps.flip.outputs.result}} == heads"), Err(later));
        let deep = "(".repeat(100_000);
        for when in [
            "a-b == c", "a ==", "(a == b", "'a", "heads", "a.b == c", "1 < b", "a in b", "a = b", "a in (a)",
            "1a == b", "[x", &deep,
        ] {
            assert!(matches!(holds(when), Err(Undecided::Unclear(..))), "{}", &when[..when.len().min(20)]);
        }
    }
}
