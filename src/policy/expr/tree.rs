//! The compiled form of an expression: names resolved, regular expressions compiled, nothing left to look up.

use super::pattern::Pattern;

/// One node, with those it works on.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    Variable(Variable),
    /// The variable of a loop around it: number of the loop, and the name for messages.
    Slot(usize, Box<str>),
    /// `of.key` and `of[key]`.
    Index(Box<Pair>),
    /// `of.?key` and `of[?key]`.
    OptionalIndex(Box<Pair>),
    /// `has(of.field)`.
    Has(Box<Node>, Box<str>),
    /// Elements; a `true` marks `?element`.
    List(Vec<(Node, bool)>),
    /// Keys and values; a `true` marks `?key: value`.
    Map(Vec<(Node, Node, bool)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Pair>),
    Or(Box<Pair>),
    Conditional(Box<[Node; 3]>),
    Binary(Operator, Box<Pair>),
    /// A function, and its arguments, the one before the dot first.
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Pattern),
    Loop(Box<Loop>),
}

impl Node {
    /// Visits the nodes directly below this one.
    pub(super) fn children<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        match self {
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Variable(_)
            | Self::Slot(..) => {}
            Self::Has(of, _) | Self::Not(of) | Self::Negate(of) | Self::Matches(of, _) => visit(of),
            Self::Index(pair)
            | Self::OptionalIndex(pair)
            | Self::And(pair)
            | Self::Or(pair)
            | Self::Binary(_, pair) => {
                visit(&pair.left);
                visit(&pair.right);
            }
            Self::Conditional(parts) => parts.iter().for_each(visit),
            Self::Call(_, arguments) => arguments.iter().for_each(visit),
            Self::List(elements) => elements.iter().for_each(|(element, _)| visit(element)),
            Self::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                visit(key);
                visit(value);
            }),
            Self::Loop(of) => {
                visit(&of.range);
                of.condition.iter().chain(&of.yields).for_each(visit);
            }
        }
    }
}

/// Two operands.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) left: Node,
    pub(super) right: Node,
}

/// `range.all(x, condition)` and its like.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) kind: LoopKind,
    /// Number of the loop in its expression: where its variable is kept.
    pub(super) slot: usize,
    pub(super) range: Node,
    /// The condition; `None` for `map` with two arguments.
    pub(super) condition: Option<Node>,
    /// What `map` yields.
    pub(super) yields: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// What expressions can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Pod,
    Namespace,
    NamespaceLabels,
    Template,
    Container,
    Workflow,
    Inputs,
}

impl Variable {
    pub(super) const ALL: [(&'static str, Self); 7] = [
        ("pod", Self::Pod),
        ("namespaceName", Self::Namespace),
        ("namespaceLabels", Self::NamespaceLabels),
        ("template", Self::Template),
        ("container", Self::Container),
        ("workflow", Self::Workflow),
        ("inputs", Self::Inputs),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, variable)| *variable == self).map_or("", |(name, _)| name)
    }
}

/// Binary operators that look at both operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// As written in a source.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

/// Functions, `matches` and the loops aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    String,
    Int,
    Double,
    Bool,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    Trim,
    Replace,
    Split,
    Join,
    Substring,
    IndexOf,
    OrValue,
    Or,
    HasValue,
    Value,
}

/// How a function is called: its name, itself, arguments with the one before the dot, and the usage for messages.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) function: Function,
    pub(super) arguments: std::ops::RangeInclusive<usize>,
    pub(super) style: Style,
    pub(super) usage: &'static str,
}

/// `f(x)`, `x.f()` or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Global,
    Method,
    Either,
}

macro_rules! signatures {
    ($($name:literal $function:ident $arguments:expr, $style:ident, $usage:literal;)*) => {
        &[$(Signature {
            name: $name,
            function: Function::$function,
            arguments: $arguments,
            style: Style::$style,
            usage: $usage,
        }),*]
    };
}

impl Function {
    pub(super) const ALL: &'static [Signature] = signatures! {
        "size" Size 1..=1, Either, "size(x) or x.size()";
        "string" String 1..=1, Global, "string(x)";
        "int" Int 1..=1, Global, "int(x)";
        "double" Double 1..=1, Global, "double(x)";
        "bool" Bool 1..=1, Global, "bool(x)";
        "startsWith" StartsWith 2..=2, Method, "x.startsWith('prefix')";
        "endsWith" EndsWith 2..=2, Method, "x.endsWith('suffix')";
        "contains" Contains 2..=2, Method, "x.contains('part')";
        "lowerAscii" LowerAscii 1..=1, Method, "x.lowerAscii()";
        "upperAscii" UpperAscii 1..=1, Method, "x.upperAscii()";
        "trim" Trim 1..=1, Method, "x.trim()";
        "replace" Replace 3..=4, Method, "x.replace('old', 'new') or x.replace('old', 'new', times)";
        "split" Split 2..=3, Method, "x.split(',') or x.split(',', parts)";
        "join" Join 1..=2, Method, "list.join() or list.join(',')";
        "substring" Substring 2..=3, Method, "x.substring(start) or x.substring(start, end)";
        "indexOf" IndexOf 2..=2, Method, "x.indexOf('part')";
        "orValue" OrValue 2..=2, Method, "x.?key.orValue(other)";
        "or" Or 2..=2, Method, "x.?key.or(y.?key)";
        "hasValue" HasValue 1..=1, Method, "x.?key.hasValue()";
        "value" Value 1..=1, Method, "x.?key.value()";
    };

    /// The name as written in a source.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|signature| signature.function == self).map_or("", |signature| signature.name)
    }
}
