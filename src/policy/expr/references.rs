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
    /// What it reads of the pod itself.
    pub pod: OfPod,
}

/// What an expression reads of the pod, besides labels and other small fields of its metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfPod {
    /// Annotations, by name.
    pub annotations: BTreeSet<String>,
    /// Whether the annotations are also used as a whole, or with a key only known when evaluated.
    pub any_annotation: bool,
    /// Whether more is read than the metadata.
    pub beyond_metadata: bool,
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
            Node::Variable(Variable::Pod) => self.pod.beyond_metadata = true,
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
            Node::Variable(Variable::Pod) => {
                self.pod.beyond_metadata |= key != Some("metadata");
                return;
            }
            metadata if field(metadata, is_pod) == Some("metadata") => {
                self.pod.any_annotation |= matches!(key, None | Some("annotations"));
                return;
            }
            annotations if field(annotations, |of| field(of, is_pod) == Some("metadata")) == Some("annotations") => {
                match key {
                    Some(key) => drop(self.pod.annotations.insert(key.to_owned())),
                    None => self.pod.any_annotation = true,
                }
                return;
            }
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

/// The literal key by which a node looks something up in what `of` accepts.
fn field(node: &Node, of: impl Fn(&Node) -> bool) -> Option<&str> {
    match node {
        Node::Index(pair) | Node::OptionalIndex(pair) if of(&pair.left) => literal(&pair.right),
        _ => None,
    }
}

fn is_pod(node: &Node) -> bool {
    matches!(node, Node::Variable(Variable::Pod))
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
