//! What an expression reads of a Workflow and of a step's inputs: the pod has to bring that along.

use std::collections::BTreeSet;

use super::tree::{Node, Operator, Pair, Variable};

/// Names that an expression looks up in what a pod carries of its Workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Of `workflow.parameters`.
    pub parameters: BTreeSet<String>,
    /// Of `workflow.labels`.
    pub labels: BTreeSet<String>,
    /// Of `workflow.annotations`.
    pub annotations: BTreeSet<String>,
    /// Of `inputs`.
    pub inputs: BTreeSet<String>,
    /// Whether one of those maps is also used as a whole, or with a key only known when evaluated: it then holds just
    /// what is carried for other reasons.
    pub dynamic: bool,
    /// Whether `namespaceLabels` is used.
    pub namespace_labels: bool,
}

impl References {
    pub(super) fn of(root: &Node) -> Self {
        let mut references = Self::default();
        references.visit(root);
        references
    }

    fn visit(&mut self, node: &Node) {
        match node {
            Node::Index(pair) | Node::OptionalIndex(pair) => self.look_up(pair),
            Node::Has(of, field) => self.key(of, Some(field)),
            Node::Binary(Operator::In, pair) if is_carried(&pair.right) => {
                self.key(&pair.right, literal(&pair.left));
                self.visit(&pair.left);
            }
            Node::Variable(Variable::NamespaceLabels) => self.namespace_labels = true,
            Node::Variable(Variable::Workflow | Variable::Inputs) => self.dynamic = true,
            _ => node.children(&mut |child| self.visit(child)),
        }
    }

    fn look_up(&mut self, pair: &Pair) {
        self.key(&pair.left, literal(&pair.right));
        self.visit(&pair.right);
    }

    /// A look-up of `key`, where it is known, on `of`.
    fn key(&mut self, of: &Node, key: Option<&str>) {
        let names = match of {
            Node::Variable(Variable::Inputs) => &mut self.inputs,
            Node::Variable(Variable::Workflow) => {
                // `workflow.parameters` as a whole.
                self.dynamic |= !matches!(key, Some("name" | "uid"));
                return;
            }
            Node::Index(pair) | Node::OptionalIndex(pair) if is_workflow(&pair.left) => match literal(&pair.right) {
                Some("parameters") => &mut self.parameters,
                Some("labels") => &mut self.labels,
                Some("annotations") => &mut self.annotations,
                Some(_) => return,
                None => {
                    self.dynamic = true;
                    return self.visit(&pair.right);
                }
            },
            other => return self.visit(other),
        };
        match key {
            Some(key) => {
                names.insert(key.to_owned());
            }
            None => self.dynamic = true,
        }
    }
}

fn is_workflow(node: &Node) -> bool {
    matches!(node, Node::Variable(Variable::Workflow))
}

fn is_carried(node: &Node) -> bool {
    match node {
        Node::Variable(Variable::Inputs) => true,
        Node::Index(pair) | Node::OptionalIndex(pair) => is_workflow(&pair.left),
        _ => false,
    }
}

fn literal(node: &Node) -> Option<&str> {
    match node {
        Node::Text(text) => Some(text),
        _ => None,
    }
}
