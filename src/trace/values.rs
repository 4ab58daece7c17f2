//! Names and values of a pod in one piece of memory: of a hundred thousand pods each byte counts.

/// Pairs in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values(Box<str>);

/// Between two parts. Neither an environment variable nor a label can have it.
const END: char = '\0';

impl Values {
    /// Of pairs.
    pub fn of<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut text = String::new();
        for part in pairs.into_iter().flat_map(|(name, value)| [name, value]) {
            text.extend(part.chars().filter(|c| *c != END));
            text.push(END);
        }
        Self(text.into_boxed_str())
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split_terminator(END);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// The value of a name; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_in_their_order() {
        let pairs = [("repo", "acme/widgets"), ("", ""), ("empty", ""), ("repo", "second"), ("ünï", "漢\n字")];
        let values = Values::of(pairs);
        assert_eq!(values.iter().collect::<Vec<_>>(), pairs);
        assert_eq!((values.get("repo"), values.get("empty"), values.get("none")), ("acme/widgets", "", ""));
        assert_eq!(Values::of([("a\0b", "c\0")]).iter().collect::<Vec<_>>(), [("ab", "c")]);
        assert!(Values::default().is_empty() && Values::of([]).iter().next().is_none());
    }
}
