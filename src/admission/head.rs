//! Reads the uid, and what else stands at the front of an AdmissionReview, out of bytes that may be cut short or broken
//! further on.
//!
//! The API server writes `request.uid` first (`k8s.io/api/admission/v1`, field order of `AdmissionRequest`), so a prefix
//! holds it even when the object is too long, too deep or not JSON at all. Values are passed out as they are met; the
//! parser's verdict on the rest is not asked for. Skipping is iterative in `serde_json`: depth costs no stack.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// Longer strings than a name can be are not taken for one.
const LONGEST: usize = 253;

/// What could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// `request.uid`.
    pub uid: Option<String>,
    /// `request.kind.kind`.
    pub kind: String,
    /// `request.namespace`.
    pub namespace: String,
    /// `request.name`; empty where the API server is to make one up.
    pub name: String,
}

/// `request.uid` of an AdmissionReview of which `prefix` is the start.
pub fn read_uid(prefix: &[u8]) -> Option<String> {
    read_head(prefix).uid
}

/// All that [`Head`] names.
pub fn read_head(prefix: &[u8]) -> Head {
    let mut head = Head::default();
    let mut json = serde_json::Deserializer::from_slice(prefix);
    // An error only says where the reading stopped.
    let _ = Level::Review(&mut head).deserialize(&mut json);
    head
}

/// A JSON object whose fields go to the head; anything that is not an object is skipped.
enum Level<'a> {
    Review(&'a mut Head),
    Request(&'a mut Head),
    Kind(&'a mut Head),
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (place, head) = match self {
            Self::Review(head) => ("review", head),
            Self::Request(head) => ("request", head),
            Self::Kind(head) => ("kind", head),
        };
        while let Some(key) = map.next_key::<String>()? {
            match (place, key.as_str()) {
                ("review", "request") => map.next_value_seed(Level::Request(head))?,
                ("request", "kind") => map.next_value_seed(Level::Kind(head))?,
                ("request", "uid") => head.uid = Some(word(&mut map)?).filter(|uid| !uid.is_empty()),
                ("request", "namespace") => head.namespace = word(&mut map)?,
                ("request", "name") => head.name = word(&mut map)?,
                ("kind", "kind") => head.kind = word(&mut map)?,
                // All that is asked for stands before the object: no need to walk through it.
                ("request", "object") if head.uid.is_some() => return Err(A::Error::custom("enough")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

fn word<'de, A: MapAccess<'de>>(map: &mut A) -> Result<String, A::Error> {
    let text: String = map.next_value()?;
    if text.len() > LONGEST {
        return Err(A::Error::custom("too long for a name"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVIEW: &str = r#"{"kind":"AdmissionReview","request":{"uid":"705a","kind":{"group":"","kind":"Pod"},
        "name":"p","namespace":"argo","object":{"a":[1,{"uid":"no"}]}}}"#;

    #[test]
    fn reads_a_whole_review() {
        let [kind, namespace, name] = ["Pod", "argo", "p"].map(String::from);
        assert_eq!(read_head(REVIEW.as_bytes()), Head { uid: Some("705a".into()), kind, namespace, name });
    }

    #[test]
    fn every_prefix_gives_the_uid_once_it_is_there_and_never_half_of_it() {
        let whole = REVIEW.find("705a").unwrap() + "705a\"".len();
        for cut in 0..REVIEW.len() {
            let expected = (cut >= whole).then(|| "705a".to_owned());
            assert_eq!(read_uid(&REVIEW.as_bytes()[..cut]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn rubbish_and_depth_after_the_uid_do_not_matter() {
        for rest in ["}}}}", "\u{0}\u{1}", ",\"x\":nope", ",\"object\":\"\\ud800\""] {
            assert_eq!(read_uid(format!("{{\"request\":{{\"uid\":\"u\"{rest}").as_bytes()).as_deref(), Some("u"));
        }
        let deep =
            format!("{{\"request\":{{\"object\":{}{},\"uid\":\"u\"}}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(read_uid(deep.as_bytes()).as_deref(), Some("u"));
        let mut bytes = br#"{"request":{"uid":"u","object":{"a":""#.to_vec();
        bytes.extend([0xff, 0xfe, b'"']);
        assert_eq!(read_uid(&bytes).as_deref(), Some("u"));
    }

    #[test]
    fn what_is_no_uid_is_none() {
        for text in ["", "null", "[]", "7", "{}", r#"{"request":null}"#, r#"{"request":{"uid":7}}"#, r#"{"uid":"u"}"#] {
            assert_eq!(read_uid(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read_uid(br#"{"request":{"uid":""}}"#), None);
        let long = format!(r#"{{"request":{{"uid":"{}"}}}}"#, "u".repeat(300));
        assert_eq!(read_uid(long.as_bytes()), None);
    }
}
