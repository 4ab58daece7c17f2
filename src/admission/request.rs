//! An AdmissionReview as it comes: one pass over the bytes, the object kept as raw JSON that borrows from them.
//!
//! `metadata.managedFields`, half of a real pod and nothing we look at or patch, is skipped without being built. So is all that
//! follows the metadata of a pod that Argo did not make.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::argo::names::WORKFLOW_LABEL;
use crate::json::{Json, Text};

/// `AdmissionReview` of `admission.k8s.io/v1`, the fields we read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review<'a> {
    #[serde(default, borrow)]
    pub api_version: Cow<'a, str>,
    #[serde(default, borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub request: Option<Request<'a>>,
}

/// `AdmissionRequest`, the fields we read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    #[serde(default, borrow)]
    pub uid: Cow<'a, str>,
    #[serde(default, borrow)]
    pub kind: GroupKind<'a>,
    #[serde(default, borrow)]
    pub name: Cow<'a, str>,
    #[serde(default, borrow)]
    pub namespace: Cow<'a, str>,
    #[serde(default, borrow)]
    pub operation: Cow<'a, str>,
    #[serde(default, borrow)]
    pub sub_resource: Cow<'a, str>,
    #[serde(default)]
    pub dry_run: Option<bool>,
    #[serde(default, borrow)]
    pub object: Object<'a>,
}

/// The object's kind, whatever its version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupKind<'a> {
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
}

impl<'a> Review<'a> {
    /// Reads the bytes of a review.
    pub fn read(body: &'a [u8]) -> serde_json::Result<Self> {
        // Checked once, not string by string; bytes that are no UTF-8 may still be fine where nothing is kept of them.
        match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        }
    }
}

/// The object, without `metadata.managedFields`.
#[derive(Debug, Default)]
pub struct Object<'a>(pub Json<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Fields::Object).map(Self)
    }
}

/// Reads an object to its fields, but for what nobody looks at.
#[derive(Clone, Copy)]
enum Fields {
    Object,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Json<'de>)> = Vec::with_capacity(8);
        let (mut is_pod, mut foreign) = (false, false);
        while let Some(Text(key)) = map.next_key()? {
            match (self, &*key) {
                (Self::Metadata, "managedFields") => drop(map.next_value::<IgnoredAny>()?),
                (Self::Object, "metadata") => {
                    let metadata = map.next_value_seed(Self::Metadata)?;
                    foreign = is_pod && metadata["labels"].get(WORKFLOW_LABEL).is_none();
                    fields.push((key, metadata));
                }
                (Self::Object, "spec" | "status") if foreign => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    let value: Json<'de> = map.next_value()?;
                    is_pod |= matches!(self, Self::Object) && key == "kind" && value == "Pod";
                    fields.push((key, value));
                }
            }
        }
        Ok(Json::Object(fields.into_iter().collect()))
    }
}
