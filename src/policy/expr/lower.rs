//! The parser's tree to ours: every static bound and every name is checked here, once, when policies are loaded.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, SourceInfo, operators};

use super::bounds::{DEPTH, LOOPS, NODES};
use super::error::ExpressionError;
use super::names;
use super::pattern::Pattern;
use super::tree::{Function, Loop, LoopKind, Node, Operator, Pair, Style, Variable};

/// Lowers a whole expression.
pub(super) fn lower(tree: &IdedExpr, positions: &SourceInfo) -> Result<Node, ExpressionError> {
    Lowering { positions, nodes: 0, loops: 0, names: Vec::new() }.node(tree, 1)
}

struct Lowering<'s> {
    positions: &'s SourceInfo,
    nodes: usize,
    loops: usize,
    /// Variables of the loops around the current node, innermost last, with the number of their loop.
    names: Vec<(&'s str, usize)>,
}

impl<'s> Lowering<'s> {
    fn node(&mut self, expr: &'s IdedExpr, depth: usize) -> Result<Node, ExpressionError> {
        let column = self.column(expr.id);
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(ExpressionError::TooManyNodes { column });
        }
        if depth > DEPTH {
            return Err(ExpressionError::TooDeep { column });
        }
        match &expr.expr {
            Expr::Literal(literal) => literal_node(literal, column),
            Expr::Ident(name) => self.variable(name, column),
            Expr::Select(select) => {
                let key = Node::Text(select.field.as_str().into());
                Ok(Node::Index(Box::new(Pair { left: self.node(&select.operand, depth + 1)?, right: key })))
            }
            Expr::List(list) => {
                let element = |(i, e)| Ok((self.node(e, depth + 1)?, list.optional_indices.contains(&i)));
                Ok(Node::List(list.elements.iter().enumerate().map(element).collect::<Result<_, _>>()?))
            }
            Expr::Map(map) => self.map(map, column, depth),
            Expr::Call(call) => self.call(call, column, depth),
            Expr::Struct(_) => Err(unsupported(column, "messages are not supported, write a map")),
            Expr::Comprehension(_) | Expr::Unspecified => Err(ExpressionError::Parser("a part the parser left open")),
        }
    }

    fn column(&self, id: u64) -> usize {
        self.positions.offset_for(id).map_or(1, |(start, _)| start as usize + 1)
    }

    fn variable(&self, name: &str, column: usize) -> Result<Node, ExpressionError> {
        if let Some((_, slot)) = self.names.iter().rev().find(|(known, _)| *known == name) {
            return Ok(Node::Slot(*slot, name.into()));
        }
        match Variable::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, variable)) => Ok(Node::Variable(*variable)),
            None => Err(names::unknown_variable(name, column, &self.names)),
        }
    }

    fn map(&mut self, map: &'s MapExpr, column: usize, depth: usize) -> Result<Node, ExpressionError> {
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(unsupported(column, "messages are not supported, write a map"));
            };
            let key = self.node(&entry.key, depth + 1)?;
            entries.push((key, self.node(&entry.value, depth + 1)?, entry.optional));
        }
        Ok(Node::Map(entries))
    }

    fn call(&mut self, call: &'s CallExpr, column: usize, depth: usize) -> Result<Node, ExpressionError> {
        let name = call.func_name.as_str();
        if let (None, [left, right]) = (&call.target, call.args.as_slice()) {
            let pair = |this: &mut Self| {
                let left = this.node(left, depth + 1)?;
                Ok(Box::new(Pair { left, right: this.node(right, depth + 1)? }))
            };
            match name {
                operators::LOGICAL_AND => return Ok(Node::And(pair(self)?)),
                operators::LOGICAL_OR => return Ok(Node::Or(pair(self)?)),
                operators::INDEX => return Ok(Node::Index(pair(self)?)),
                operators::OPT_INDEX | operators::OPT_SELECT => return Ok(Node::OptionalIndex(pair(self)?)),
                _ => {}
            }
            if let Some(operator) = binary(name) {
                return Ok(Node::Binary(operator, pair(self)?));
            }
        }
        match (name, &call.target, call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [of]) => Ok(Node::Not(Box::new(self.node(of, depth + 1)?))),
            (operators::NEGATE, None, [of]) => Ok(Node::Negate(Box::new(self.node(of, depth + 1)?))),
            (operators::CONDITIONAL, None, [condition, yes, no]) => Ok(Node::Conditional(Box::new([
                self.node(condition, depth + 1)?,
                self.node(yes, depth + 1)?,
                self.node(no, depth + 1)?,
            ]))),
            (operators::HAS, ..) => self.has(call, column, depth),
            ("matches", ..) => self.matches(call, column, depth),
            _ => match loop_kind(name) {
                Some(kind) => self.comprehension(kind, call, column, depth),
                None => self.function(call, column, depth),
            },
        }
    }

    fn has(&mut self, call: &'s CallExpr, column: usize, depth: usize) -> Result<Node, ExpressionError> {
        if let (None, [IdedExpr { expr: Expr::Select(select), .. }]) = (&call.target, call.args.as_slice()) {
            let of = self.node(&select.operand, depth + 1)?;
            return Ok(Node::Has(Box::new(of), select.field.as_str().into()));
        }
        Err(ExpressionError::WrongCall {
            column,
            usage: "has(x.key), or 'key' in x for a key that is not a plain name",
        })
    }

    fn matches(&mut self, call: &'s CallExpr, column: usize, depth: usize) -> Result<Node, ExpressionError> {
        let (text, pattern) = match (&call.target, call.args.as_slice()) {
            (Some(text), [pattern]) => (text.as_ref(), pattern),
            (None, [text, pattern]) => (text, pattern),
            _ => return Err(ExpressionError::WrongCall { column, usage: "x.matches('pattern')" }),
        };
        let column = self.column(pattern.id);
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            return Err(unsupported(column, "the pattern of `matches` must be a literal, so that it is compiled once"));
        };
        let pattern = Pattern::compile(pattern.inner()).map_err(|reason| ExpressionError::Regex { column, reason })?;
        Ok(Node::Matches(Box::new(self.node(text, depth + 1)?), pattern))
    }

    fn comprehension(
        &mut self,
        kind: LoopKind,
        call: &'s CallExpr,
        column: usize,
        depth: usize,
    ) -> Result<Node, ExpressionError> {
        let usage = match kind {
            LoopKind::Map => "list.map(x, value) or list.map(x, condition, value)",
            LoopKind::Filter => "list.filter(x, condition)",
            LoopKind::All => "list.all(x, condition)",
            LoopKind::Exists => "list.exists(x, condition)",
            LoopKind::ExistsOne => "list.exists_one(x, condition)",
        };
        let (condition, yields) = match (kind, call.args.as_slice()) {
            (LoopKind::Map, [_, yields]) => (None, Some(yields)),
            (LoopKind::Map, [_, condition, yields]) => (Some(condition), Some(yields)),
            (LoopKind::Map, _) => return Err(ExpressionError::WrongCall { column, usage }),
            (_, [_, condition]) => (Some(condition), None),
            _ => return Err(ExpressionError::WrongCall { column, usage }),
        };
        let (Some(range), Some(Expr::Ident(name))) = (&call.target, call.args.first().map(|arg| &arg.expr)) else {
            return Err(ExpressionError::WrongCall { column, usage });
        };
        if self.loops == LOOPS {
            return Err(ExpressionError::TooManyLoops { column });
        }
        let slot = self.loops;
        self.loops += 1;
        let range = self.node(range, depth + 1)?;
        self.names.push((name, slot));
        let condition = condition.map(|node| self.node(node, depth + 1)).transpose()?;
        let yields = yields.map(|node| self.node(node, depth + 1)).transpose()?;
        self.names.pop();
        Ok(Node::Loop(Box::new(Loop { kind, slot, range, condition, yields })))
    }

    fn function(&mut self, call: &'s CallExpr, column: usize, depth: usize) -> Result<Node, ExpressionError> {
        let Some(signature) = Function::ALL.iter().find(|signature| signature.name == call.func_name) else {
            return Err(names::unknown_function(&call.func_name, column));
        };
        let styled = match signature.style {
            Style::Global => call.target.is_none(),
            Style::Method => call.target.is_some(),
            Style::Either => true,
        };
        let arguments: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        if !styled || !signature.arguments.contains(&arguments.len()) {
            return Err(ExpressionError::WrongCall { column, usage: signature.usage });
        }
        let arguments = arguments.into_iter().map(|argument| self.node(argument, depth + 1));
        Ok(Node::Call(signature.function, arguments.collect::<Result<_, _>>()?))
    }
}

fn literal_node(literal: &LiteralValue, column: usize) -> Result<Node, ExpressionError> {
    match literal {
        LiteralValue::Boolean(value) => Ok(Node::Bool(*value.inner())),
        LiteralValue::Int(value) => Ok(Node::Int(*value.inner())),
        LiteralValue::Double(value) => Ok(Node::Double(*value.inner())),
        LiteralValue::String(value) => Ok(Node::Text(value.inner().into())),
        LiteralValue::Null => Ok(Node::Null),
        LiteralValue::UInt(_) => Err(unsupported(column, "unsigned numbers are not supported, leave the `u` out")),
        LiteralValue::Bytes(_) => Err(unsupported(column, "bytes are not supported, write a string")),
    }
}

fn unsupported(column: usize, what: &'static str) -> ExpressionError {
    ExpressionError::Unsupported { column, what }
}

fn binary(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessOrEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterOrEqual,
        operators::IN => Operator::In,
        _ => return None,
    })
}

fn loop_kind(name: &str) -> Option<LoopKind> {
    Some(match name {
        operators::ALL => LoopKind::All,
        operators::EXISTS => LoopKind::Exists,
        operators::EXISTS_ONE | "existsOne" => LoopKind::ExistsOne,
        operators::FILTER => LoopKind::Filter,
        operators::MAP => LoopKind::Map,
        _ => return None,
    })
}
