//! Where in a manifest a line stands: `spec.containers[main].env`.
//!
//! Reads the layout that [`crate::yaml::write`] makes, by indentation alone; it only labels a diff's hunks.

/// The lines of a document.
#[derive(Debug)]
pub(super) struct Places<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Places<'a> {
    /// The places of a document that was written here.
    pub fn of(text: &'a str) -> Self {
        Self { lines: text.lines().collect() }
    }

    /// The fields above a line, from the root.
    pub fn at(&self, line: usize) -> String {
        let mut path = Vec::new();
        let Some(text) = self.lines.get(line) else { return String::new() };
        let mut indent = depth(text);
        // A list stands as deep as its key, so an item's line looks for a key of its own depth too.
        let mut in_item = text.trim_start().starts_with("- ");
        for (at, above) in self.lines.iter().enumerate().take(line).rev() {
            let (deep, content) = (depth(above), above.trim_start());
            let item = content.strip_prefix("- ");
            if content.is_empty() || deep > indent || (deep == indent && (!in_item || item.is_some())) {
                continue;
            }
            if item.is_some() {
                // The item whose fields stand two columns further in.
                if let Some(name) = self.name_of_item(at, deep) {
                    path.push(format!("[{name}]"));
                }
                (indent, in_item) = (deep, true);
            } else if let Some(key) = content.strip_suffix(':') {
                path.push(key.trim_matches(['"', '\'']).to_owned());
                (indent, in_item) = (deep, false);
            }
        }
        path.reverse();
        path.join(".").replace(".[", "[")
    }

    /// `name:` of the item that starts at a line.
    fn name_of_item(&self, start: usize, indent: usize) -> Option<&'a str> {
        let fields = self.lines.iter().enumerate().skip(start);
        let own = fields.take_while(|(at, l)| *at == start || depth(l) > indent || l.is_empty());
        own.filter(|(at, line)| *at == start || depth(line) == indent + 2)
            .find_map(|(_, line)| line.get(indent + 2..)?.strip_prefix("name: "))
    }
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_from_the_root() {
        let text = "kind: Pod\nspec:\n  containers:\n  - args:\n    - a: b\n    env:\n    - name: A\n      value: x\n    \
                    name: main\n  - name: wait\n    env:\n    - name: B\n";
        let places = Places::of(text);
        assert_eq!(places.at(0), "");
        assert_eq!(places.at(2), "spec");
        assert_eq!(places.at(3), "spec.containers");
        assert_eq!(places.at(6), "spec.containers[main].env");
        assert_eq!(places.at(7), "spec.containers[main].env[A]");
        assert_eq!(places.at(8), "spec.containers[main]");
        assert_eq!(places.at(11), "spec.containers[wait].env");
        assert_eq!(places.at(99), "");
    }
}
