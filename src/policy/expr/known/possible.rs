//! Whether a condition can be true on any pod of Argo: an evaluation on what is known of all of them at once.

use super::conjunction::contradiction;
use super::guards::place;
use super::shape::{self, Entry, Form, Map, Shape};
use super::size;
use super::value::{Is, Truth, Type, constants};
use crate::policy::expr::eval::path;
use crate::policy::expr::tree::{Function, LoopKind, Node, Operator, Pair};

/// Why a condition is true on no pod; `None` where it may be.
pub(in crate::policy::expr) fn never_true(root: &Node) -> Option<String> {
    let mut look = Look::default();
    let found = look.node(root);
    let no_condition = || match found.kind() {
        Some(kind) => format!("it is {}, not a condition", kind.noun()),
        None => "it is no condition".to_owned(),
    };
    (!found.truth().yes).then(|| look.no.unwrap_or_else(no_condition))
}

/// Whether an expression comes to nothing on every pod that has not what is at `place`: it fails there, or is not true.
pub(super) fn needs(root: &Node, place: &str) -> bool {
    match (Look { absent: Some(place.to_owned()), ..Look::default() }).node(root) {
        Is::Fails => true,
        Is::Condition(truth) => !truth.yes,
        _ => false,
    }
}

/// The known map that a node is.
pub(super) fn map_of(node: &Node) -> Option<Map> {
    match Look::default().node(node) {
        Is::Shape(Shape::Map(map)) => Some(map),
        _ => None,
    }
}

const ANYTHING: Is = Is::Shape(Shape::Anything);
const TEXT: Is = Is::Shape(Shape::Text(Form::Free));

#[derive(Default)]
struct Look {
    /// The first reason found why the condition is never true.
    no: Option<String>,
    /// The same, why it always is: what counts below a `!`.
    yes: Option<String>,
    /// A place at which the pods that are looked at have nothing.
    absent: Option<String>,
}

impl Look {
    fn never(&mut self, why: String) -> Is {
        self.no.get_or_insert(why);
        Is::Condition(Truth::NO)
    }

    fn always(&mut self, why: String) -> Is {
        self.yes.get_or_insert(why);
        Is::Condition(Truth::YES)
    }

    fn fails(&mut self, why: String) -> Is {
        self.no.get_or_insert_with(|| why.clone());
        self.yes.get_or_insert(why);
        Is::Fails
    }

    /// The opposite of what `look` finds, reasons included.
    fn opposite(&mut self, look: impl FnOnce(&mut Self) -> Is) -> Is {
        std::mem::swap(&mut self.no, &mut self.yes);
        let Truth { yes, no } = look(self).truth();
        std::mem::swap(&mut self.no, &mut self.yes);
        Is::Condition(Truth { yes: no, no: yes })
    }

    /// What `look` finds, its reasons forgotten where it may be true all the same.
    fn undecided(&mut self, look: impl FnOnce(&mut Self) -> Is) -> Is {
        let before = self.no.clone();
        let found = look(self);
        if found.truth().yes || found.kind() != Some(Type::Bool) {
            self.no = before;
        }
        found
    }

    fn node(&mut self, node: &Node) -> Is {
        match node {
            Node::Null => Is::Null,
            Node::Bool(true) => Is::Condition(Truth::YES),
            Node::Bool(false) => self.never("it says `false`".to_owned()),
            Node::Int(value) => Is::Int(*value),
            Node::Double(value) => Is::Double(*value),
            Node::Text(text) => Is::Text(text.to_string()),
            Node::Variable(variable) => Is::Shape(shape::of(*variable)),
            Node::Slot(..) => ANYTHING,
            Node::OptionalIndex(pair) => optional(pair),
            Node::Index(pair) => self.index(pair, node),
            Node::Has(of, field) => self.has(of, field),
            Node::List(elements) if elements.iter().any(|(_, optional)| *optional) => Is::AnyList,
            Node::List(elements) => {
                let elements: Vec<Is> = elements.iter().map(|(element, _)| self.node(element)).collect();
                if elements.contains(&Is::Fails) { Is::Fails } else { Is::List(elements) }
            }
            Node::Map(_) => Is::AnyMap,
            Node::Not(of) => self.opposite(|this| this.node(of)),
            Node::Negate(_) => Is::Number,
            Node::And(pair) => {
                let (left, right) = (self.node(&pair.left).truth(), self.node(&pair.right).truth());
                let mut both = Truth { yes: left.yes && right.yes, no: left.no || right.no };
                if both.yes
                    && let Some(why) = contradiction(node)
                {
                    self.no.get_or_insert(why);
                    both.yes = false;
                }
                Is::Condition(both)
            }
            Node::Or(pair) => self.undecided(|this| {
                let (left, right) = (this.node(&pair.left).truth(), this.node(&pair.right).truth());
                Is::Condition(Truth { yes: left.yes || right.yes, no: left.no && right.no })
            }),
            Node::Conditional(parts) => self.undecided(|this| this.conditional(parts)),
            Node::Binary(operator, pair) => self.binary(*operator, pair),
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::Matches(of, _) => match self.node(of) {
                Is::Fails => Is::Fails,
                found => match found.kind() {
                    Some(Type::Text) | None => Is::Condition(Truth::ANY),
                    Some(kind) => self.fails(format!("`matches` looks at texts, `{}` is {}", path(of), kind.noun())),
                },
            },
            Node::Loop(of) if self.node(&of.range) == Is::Fails => Is::Fails,
            Node::Loop(of) => match of.kind {
                LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => Is::Condition(Truth::ANY),
                LoopKind::Filter | LoopKind::Map => Is::AnyList,
            },
        }
    }

    fn conditional(&mut self, parts: &[Node; 3]) -> Is {
        let [condition, yes, no] = parts;
        match self.node(condition).truth() {
            Truth { yes: true, no: false } => self.node(yes),
            Truth { yes: false, no: true } => self.node(no),
            Truth { yes: false, no: false } => Is::Fails,
            Truth { yes: true, no: true } => {
                let (yes, no) = (self.node(yes), self.node(no));
                let (a, b) = (yes.truth(), no.truth());
                match (yes.kind(), no.kind()) {
                    _ if yes == no || no == Is::Fails => yes,
                    _ if yes == Is::Fails => no,
                    (Some(Type::Bool), Some(Type::Bool)) => {
                        Is::Condition(Truth { yes: a.yes || b.yes, no: a.no || b.no })
                    }
                    _ => ANYTHING,
                }
            }
        }
    }

    fn is_absent(&self, place: impl Fn() -> String) -> bool {
        self.absent.as_ref().is_some_and(|absent| *absent == place())
    }

    fn index(&mut self, pair: &Pair, whole: &Node) -> Is {
        if self.is_absent(|| path(whole)) {
            return Is::Fails;
        }
        let of = self.node(&pair.left);
        let key = self.node(&pair.right);
        let entry = match (&of, &key) {
            (Is::Shape(Shape::Map(map)), Is::Text(key)) => map.entry(key),
            (Is::Shape(Shape::List(map)), Is::Int(_)) => Entry::Maybe(Shape::Map(*map)),
            (Is::Shape(Shape::Text(_) | Shape::Exactly(_) | Shape::Int | Shape::Bool), _) => Entry::Never,
            (Is::Fails, _) => return Is::Fails,
            _ => Entry::Unknown,
        };
        match entry {
            Entry::Always(shape) | Entry::Maybe(shape) => Is::Shape(shape),
            Entry::Unknown => ANYTHING,
            Entry::Never => self.fails(format!("no pod of Argo has `{}` when it is admitted", path(whole))),
        }
    }

    fn has(&mut self, of: &Node, field: &str) -> Is {
        match self.node(of) {
            Is::Shape(Shape::Map(map)) => self.presence(map.entry(field), || place(of, field)),
            Is::Fails => Is::Fails,
            _ => Is::Condition(Truth::ANY),
        }
    }

    fn presence(&mut self, entry: Entry, at: impl Fn() -> String) -> Is {
        if self.is_absent(&at) {
            return Is::Condition(Truth::NO);
        }
        match entry {
            Entry::Always(_) => self.always(format!("every pod of Argo has `{}`", at())),
            Entry::Never => self.never(format!("no pod of Argo has `{}` when it is admitted", at())),
            Entry::Maybe(_) | Entry::Unknown => Is::Condition(Truth::ANY),
        }
    }

    fn binary(&mut self, operator: Operator, pair: &Pair) -> Is {
        let (left, right) = (self.node(&pair.left), self.node(&pair.right));
        if left == Is::Fails || right == Is::Fails {
            return Is::Fails;
        }
        match operator {
            Operator::Equal => self.equal(&left, &right, pair),
            Operator::NotEqual => self.opposite(|this| this.equal(&left, &right, pair)),
            Operator::In => self.contained(&left, &right, pair),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                match (left.kind(), right.kind()) {
                    (Some(a), Some(b)) if a != b => self.fails(differ(operator.symbol(), &pair.left, a, b)),
                    _ => self.ordered(operator, &left, &right, pair),
                }
            }
            Operator::Add => match (left.kind(), right.kind()) {
                (Some(Type::Text), Some(Type::Text)) => TEXT,
                (Some(Type::Number), Some(Type::Number)) => Is::Number,
                (Some(Type::List), Some(Type::List)) => Is::AnyList,
                _ => ANYTHING,
            },
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => Is::Number,
        }
    }

    /// `<` and its like: known where both sides are constants, or one is the size of something.
    fn ordered(&mut self, operator: Operator, left: &Is, right: &Is, pair: &Pair) -> Is {
        if let Some((holds, why)) = size::compared(operator, left, right, pair) {
            return if holds { self.always(why) } else { self.never(why) };
        }
        let Some(order) = constants(left, right) else { return Is::Condition(Truth::ANY) };
        let holds = match operator {
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            _ => order.is_ge(),
        };
        self.constant(holds, operator)
    }

    fn constant(&mut self, holds: bool, operator: Operator) -> Is {
        let symbol = operator.symbol();
        if holds {
            self.always(format!("`{symbol}` compares two constants, and always holds"))
        } else {
            self.never(format!("`{symbol}` compares two constants, and never holds"))
        }
    }

    fn equal(&mut self, left: &Is, right: &Is, pair: &Pair) -> Is {
        if let (Some(a), Some(b)) = (left.kind(), right.kind())
            && a != b
        {
            return self.never(differ("==", &pair.left, a, b));
        }
        if let Some(order) = constants(left, right) {
            return self.constant(order.is_eq(), Operator::Equal);
        }
        if let Some((_, why)) = size::compared(Operator::Equal, left, right, pair) {
            return self.never(why);
        }
        for (known, form, at) in [(left.text(), right.form(), &pair.right), (right.text(), left.form(), &pair.left)] {
            if let Some(text) = known.filter(|text| !form.takes(text)) {
                return self.never(format!("`{}` is {}, which can't be {text:?}", path(at), form.noun()));
            }
        }
        match (left.text(), right.text()) {
            (Some(a), Some(b)) if a == b => self.always(format!("`{}` is always {a:?}", path(&pair.left))),
            (Some(a), Some(b)) => self.never(format!("`{}` is always {a:?}, not {b:?}", path(&pair.left))),
            _ => Is::Condition(Truth::ANY),
        }
    }

    /// `left in right`.
    fn contained(&mut self, left: &Is, right: &Is, pair: &Pair) -> Is {
        match (left, right) {
            (Is::Text(key), Is::Shape(Shape::Map(map))) => self.presence(map.entry(key), || place(&pair.right, key)),
            (_, Is::List(elements)) => {
                let mut aside = Self::default();
                if elements.iter().any(|one| aside.equal(left, one, pair).truth().yes) {
                    return Is::Condition(Truth::ANY);
                }
                self.never(format!("`{}` can be none of the list", path(&pair.left)))
            }
            (_, Is::Shape(Shape::Text(_) | Shape::Exactly(_) | Shape::Int | Shape::Bool)) => {
                self.fails(format!("`in` looks in lists and maps, `{}` is neither", path(&pair.right)))
            }
            _ => Is::Condition(Truth::ANY),
        }
    }

    fn call(&mut self, function: Function, arguments: &[Node]) -> Is {
        let of: Vec<Is> = arguments.iter().map(|argument| self.node(argument)).collect();
        if of.contains(&Is::Fails) {
            return Is::Fails;
        }
        match function {
            Function::StartsWith | Function::EndsWith | Function::Contains => {
                let (Some(text), Some(part)) = (of.first(), of.get(1)) else { return ANYTHING };
                self.part(text, part, arguments)
            }
            Function::Size => Is::AtLeast(arguments.first().map_or(0, size::least)),
            Function::Int | Function::Double | Function::IndexOf => Is::Number,
            Function::String
            | Function::LowerAscii
            | Function::UpperAscii
            | Function::Trim
            | Function::Replace
            | Function::Join
            | Function::Substring => TEXT,
            Function::Split => Is::AnyList,
            Function::Bool | Function::HasValue => Is::Condition(Truth::ANY),
            Function::OrValue => match of.as_slice() {
                [Is::Optional(Shape::Text(form)), Is::Text(text)] if form.takes(text) => Is::Shape(Shape::Text(*form)),
                [Is::Optional(Shape::Text(_)), Is::Text(_)] => TEXT,
                _ => ANYTHING,
            },
            Function::Or | Function::Value => ANYTHING,
        }
    }

    fn part(&mut self, text: &Is, part: &Is, arguments: &[Node]) -> Is {
        let at = || arguments.first().map(path).unwrap_or_default();
        match (text.kind(), part) {
            (Some(kind), _) if kind != Type::Text => self.fails(format!("`{}` is {}", at(), kind.noun())),
            (_, Is::Text(part)) if !text.form().holds(part) => {
                let form = text.form().noun();
                self.never(format!("`{}` is {form}, in which {part:?} can't stand", at()))
            }
            _ => Is::Condition(Truth::ANY),
        }
    }
}

/// `of.?key`.
fn optional(pair: &Pair) -> Is {
    match (map_of(&pair.left), &pair.right) {
        (Some(map), Node::Text(key)) => match map.entry(key) {
            Entry::Always(shape) | Entry::Maybe(shape) => Is::Optional(shape),
            Entry::Never | Entry::Unknown => ANYTHING,
        },
        _ => ANYTHING,
    }
}

fn differ(operator: &str, left: &Node, a: Type, b: Type) -> String {
    format!("`{}` is {}, and `{operator}` compares it with {}", path(left), a.noun(), b.noun())
}
