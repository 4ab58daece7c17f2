//! Tokens -> a tree, by precedence (`parser/operator/operator.go` of expr-lang).

use serde_json::Value;

use super::functions::looped;
use super::lex::Token;
use super::{MAX_NODES, Undecided, unclear};

/// Deepest nesting of operands: each is some five calls deep.
const MAX_DEPTH: usize = 48;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Value(Value),
    /// A variable.
    Name(String),
    /// `#`: the element of the closure around it.
    Element,
    /// `a.b`, `a[b]`; with `?.` a nil stays one.
    Member(Box<Self>, Box<Self>, bool),
    /// `a[b:c]`.
    Slice(Box<Self>, Option<Box<Self>>, Option<Box<Self>>),
    /// A function, such as `len` or `sprig.trim`; the first argument of a pipe is among the others.
    Call(String, Vec<Self>),
    Not(Box<Self>),
    Negate(Box<Self>),
    Binary(&'static str, Box<Self>, Box<Self>),
    Choice(Box<[Self; 3]>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

/// Precedence of what stands between two operands; `**` goes to the right.
const OPERATORS: [(&str, u16); 25] = [
    ("|", 1),
    ("||", 10),
    ("or", 10),
    ("&&", 15),
    ("and", 15),
    ("==", 20),
    ("!=", 20),
    ("<", 20),
    (">", 20),
    ("<=", 20),
    (">=", 20),
    ("in", 20),
    ("matches", 20),
    ("contains", 20),
    ("startsWith", 20),
    ("endsWith", 20),
    ("..", 25),
    ("+", 30),
    ("-", 30),
    ("*", 60),
    ("/", 60),
    ("%", 60),
    ("**", 100),
    ("^", 100),
    ("??", 500),
];
const NOT: u16 = 50;
const SIGNED: u16 = 90;

pub(super) fn parse(tokens: Vec<Token>) -> Result<Node, Undecided> {
    let mut parser = Parser { tokens, at: 0, nodes: 0, depth: 0 };
    let root = parser.whole()?;
    match parser.peek() {
        None => Ok(root),
        Some(token) => unclear(format!("{} is not expected there", shown(token))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Value(value) => value.to_string(),
        Token::Word(word) => word.clone(),
        Token::Sign(sign) => (*sign).to_owned(),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    nodes: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), Undecided> {
        if self.takes(sign) { Ok(()) } else { unclear(format!("{sign} is missing")) }
    }

    fn count(&mut self) -> Result<(), Undecided> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || self.depth > MAX_DEPTH {
            unclear("it is too long to be looked at")
        } else {
            Ok(())
        }
    }

    /// An expression with `? :` at its end.
    fn whole(&mut self) -> Result<Node, Undecided> {
        let condition = self.expression(0)?;
        if !self.takes("?") {
            return Ok(condition);
        }
        let yes = self.whole()?;
        self.expect(":")?;
        let no = self.whole()?;
        Ok(Node::Choice(Box::new([condition, yes, no])))
    }

    fn operator(&self) -> Option<(&'static str, u16)> {
        let text = match self.peek()? {
            Token::Sign(sign) => *sign,
            Token::Word(word) => word,
            Token::Value(_) => return None,
        };
        OPERATORS.into_iter().find(|(operator, _)| *operator == text)
    }

    fn expression(&mut self, least: u16) -> Result<Node, Undecided> {
        self.depth += 1;
        self.count()?;
        let node = self.operators(least)?;
        self.depth -= 1;
        Ok(node)
    }

    fn operators(&mut self, least: u16) -> Result<Node, Undecided> {
        let mut left = self.operand()?;
        loop {
            let negated = matches!(self.peek(), Some(Token::Word(word)) if word == "not");
            self.at += usize::from(negated);
            let Some((operator, precedence)) = self.operator().filter(|(_, precedence)| *precedence >= least.max(1))
            else {
                self.at -= usize::from(negated);
                return Ok(left);
            };
            self.count()?;
            self.at += 1;
            left = match operator {
                "|" => self.piped(left)?,
                "**" | "^" => Node::Binary("**", Box::new(left), Box::new(self.expression(precedence)?)),
                _ => Node::Binary(operator, Box::new(left), Box::new(self.expression(precedence + 1)?)),
            };
            if negated {
                left = Node::Not(Box::new(left));
            }
        }
    }

    /// `value | name(arguments)`.
    fn piped(&mut self, value: Node) -> Result<Node, Undecided> {
        match self.postfix()? {
            Node::Call(name, mut arguments) => {
                arguments.insert(0, value);
                Ok(Node::Call(name, arguments))
            }
            _ => unclear("a function is expected behind |"),
        }
    }

    fn operand(&mut self) -> Result<Node, Undecided> {
        if self.takes("!") || self.takes_word("not") {
            return Ok(Node::Not(Box::new(self.expression(NOT)?)));
        }
        if self.takes("-") {
            return Ok(Node::Negate(Box::new(self.expression(SIGNED)?)));
        }
        if self.takes("+") {
            return self.expression(SIGNED);
        }
        self.postfix()
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.at += usize::from(found);
        found
    }

    fn postfix(&mut self) -> Result<Node, Undecided> {
        let mut node = self.primary()?;
        loop {
            let optional = self.takes("?.");
            if optional || self.takes(".") {
                self.count()?;
                if optional && self.takes("[") {
                    node = self.bracket(node, true)?;
                    continue;
                }
                let Some(Token::Word(name)) = self.next() else { return unclear("a name is expected behind the dot") };
                if self.takes("(") {
                    let Node::Name(of) = node else { return unclear(format!("the method {name} is not known")) };
                    node = Node::Call(format!("{of}.{name}"), self.list(")")?);
                } else {
                    node = Node::Member(Box::new(node), Box::new(Node::Value(name.into())), optional);
                }
            } else if self.takes("[") {
                self.count()?;
                node = self.bracket(node, false)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn bracket(&mut self, of: Node, optional: bool) -> Result<Node, Undecided> {
        let start = if self.takes(":") { None } else { Some(Box::new(self.whole()?)) };
        if let Some(key) = start.clone() {
            if self.takes("]") {
                return Ok(Node::Member(Box::new(of), key, optional));
            }
            self.expect(":")?;
        }
        if self.takes("]") {
            return Ok(Node::Slice(Box::new(of), start, None));
        }
        let end = Some(Box::new(self.whole()?));
        self.expect("]")?;
        Ok(Node::Slice(Box::new(of), start, end))
    }

    fn primary(&mut self) -> Result<Node, Undecided> {
        match self.next() {
            Some(Token::Value(value)) => Ok(Node::Value(value)),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Ok(Node::Value(true.into())),
                "false" => Ok(Node::Value(false.into())),
                "nil" => Ok(Node::Value(Value::Null)),
                "let" | "if" => unclear(format!("`{word}` is not read here")),
                _ if self.takes("(") => {
                    let arguments = if looped(&word).is_some() { self.closures()? } else { self.list(")")? };
                    Ok(Node::Call(word, arguments))
                }
                _ => Ok(Node::Name(word)),
            },
            Some(Token::Sign("(")) => {
                let inner = self.whole()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Sign("[")) => Ok(Node::List(self.list("]")?)),
            Some(Token::Sign("{")) => self.braces(),
            Some(Token::Sign("#")) => Ok(Node::Element),
            // In a closure `.name` is `#.name`.
            Some(Token::Sign(".")) => match self.next() {
                Some(Token::Word(name)) => {
                    Ok(Node::Member(Box::new(Node::Element), Box::new(Node::Value(name.into())), false))
                }
                _ => unclear("a name is expected behind the dot"),
            },
            Some(token) => unclear(format!("{} is not expected there", shown(&token))),
            None => unclear("it ends too early"),
        }
    }

    fn list(&mut self, end: &'static str) -> Result<Vec<Node>, Undecided> {
        let mut all = Vec::new();
        while !self.takes(end) {
            all.push(self.whole()?);
            if !self.takes(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(all)
    }

    /// The arguments of a function that calls a closure: braces are around its body, and never a map.
    fn closures(&mut self) -> Result<Vec<Node>, Undecided> {
        let mut all = Vec::new();
        while !self.takes(")") {
            let braces = self.takes("{");
            all.push(self.whole()?);
            if braces {
                self.expect("}")?;
            }
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(all)
    }

    /// A map.
    fn braces(&mut self) -> Result<Node, Undecided> {
        let mut entries = Vec::new();
        while !self.takes("}") {
            self.count()?;
            let key = match self.next() {
                Some(Token::Word(word)) => Node::Value(word.into()),
                Some(Token::Value(text @ Value::String(_))) => Node::Value(text),
                _ => return unclear("a map's key is a name or a text"),
            };
            self.expect(":")?;
            entries.push((key, self.whole()?));
            if !self.takes(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Node::Map(entries))
    }
}
