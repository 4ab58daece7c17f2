//! A page that needs nothing besides itself.
//!
//! The page's own style and script are named to the browser by their hashes (Content Security Policy Level 3, section 2.3.1), so that nothing
//! else in it is ever run.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::palette::harmless;
use super::xml::escaped;

/// Text of an element or attribute; what could turn a line around is shown as what it is.
pub(super) fn text(text: &str) -> String {
    escaped(&harmless(text))
}

/// As the browser computes it: of the element's whole text.
fn hash(of: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(of))
}

/// All before the content of `body`; `script` is empty where there is none.
pub(super) fn head(title: &str, style: &str, script: &str) -> String {
    let script = if script.is_empty() { "'none'".to_owned() } else { format!("'sha256-{}'", hash(script)) };
    let style_hash = hash(style);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style_hash}'; script-src {script}; base-uri 'none'; form-action 'none'"
    );
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="stepspan {version}">
<title>{title}</title>
<style>{style}</style>
</head>
"#,
        title = text(title),
        version = env!("CARGO_PKG_VERSION"),
    )
}
