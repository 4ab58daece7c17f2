//! Two texts side by side, line by line; unchanged lines far from a change are left out.

use std::fmt::Write as _;
use std::ops::Range;

use similar::{DiffOp, TextDiff};

use super::super::place::Places;
use super::text;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// Writes the table.
pub(super) fn side_by_side(before: &str, after: &str, out: &mut String) {
    let diff = TextDiff::from_lines(before, after);
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let places = Places::of(after);
    out.push_str("<table class=\"diff\"><caption>patch</caption>\n<colgroup><col class=\"number\"><col><col class=\"number\"><col></colgroup>\n<thead class=\"unseen\"><tr><th>line</th><th>before</th><th>line</th><th>after</th></tr></thead>\n");
    for group in diff.grouped_ops(CONTEXT) {
        let changed = group.iter().find(|op| !matches!(op, DiffOp::Equal { .. })).map_or(0, |op| op.new_range().start);
        let _ = writeln!(out, "<tbody><tr class=\"place\"><td colspan=\"4\">{}</td></tr>", text(&places.at(changed)));
        for op in &group {
            rows(op, &old, &new, out);
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table>\n");
}

fn rows(op: &DiffOp, old: &[&str], new: &[&str], out: &mut String) {
    let (before, after) = (op.old_range(), op.new_range());
    let same = matches!(op, DiffOp::Equal { .. });
    let at = |lines: &[&str], range: &Range<usize>, i: usize| {
        let index = range.start + i;
        range.contains(&index).then(|| (index + 1, lines.get(index).copied().unwrap_or_default().to_owned()))
    };
    for i in 0..before.len().max(after.len()) {
        let (left, right) = (at(old, &before, i), at(new, &after, i));
        let (marked_left, marked_right) = match (&left, &right) {
            (Some((_, left)), Some((_, right))) if !same => marked(left, right),
            (left, right) => {
                let plain =
                    |side: &Option<(usize, String)>| side.as_ref().map(|(_, line)| text(line)).unwrap_or_default();
                (plain(left), plain(right))
            }
        };
        out.push_str("<tr>");
        cell(left.map(|(number, _)| number), &marked_left, if same { "" } else { "old" }, out);
        cell(right.map(|(number, _)| number), &marked_right, if same { "" } else { "new" }, out);
        out.push_str("</tr>\n");
    }
}

fn cell(number: Option<usize>, marked: &str, class: &str, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match number {
        None => write!(out, "<td class=\"number\"></td><td class=\"none\"></td>"),
        Some(number) => {
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            write!(out, "<td class=\"number\">{number}</td><td{class}>{marked}</td>")
        }
    };
}

/// Two lines with the part marked in which they differ.
fn marked(left: &str, right: &str) -> (String, String) {
    let alike = |(a, b): &(char, char)| a == b;
    let front: usize = left.chars().zip(right.chars()).take_while(alike).map(|(c, _)| c.len_utf8()).sum();
    let (left_rest, right_rest) = (&left[front..], &right[front..]);
    let back: usize =
        left_rest.chars().rev().zip(right_rest.chars().rev()).take_while(alike).map(|(c, _)| c.len_utf8()).sum();
    let show = |line: &str| {
        let end = line.len() - back;
        let middle = text(&line[front..end]);
        let middle = if middle.is_empty() { middle } else { format!("<mark>{middle}</mark>") };
        format!("{}{middle}{}", text(&line[..front]), text(&line[end..]))
    };
    (show(left), show(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_marked_and_all_is_text() {
        assert_eq!(
            marked("name: a<b", "name: x<b"),
            ("name: <mark>a</mark>&lt;b".into(), "name: <mark>x</mark>&lt;b".into())
        );
        assert_eq!(marked("aa", "aaa"), ("aa".into(), "aa<mark>a</mark>".into()));
        assert_eq!(marked("é", "è"), ("<mark>é</mark>".into(), "<mark>è</mark>".into()));
    }

    #[test]
    fn lines_stand_beside_those_they_replace() {
        let mut out = String::new();
        side_by_side("a: 1\nb: 2\n", "a: 1\nb: 3\nc: <i>\n", &mut out);
        assert!(out.contains("<td class=\"number\">2</td><td class=\"old\">b: <mark>2</mark></td><td class=\"number\">2</td><td class=\"new\">b: <mark>3</mark></td>"), "{out}");
        assert!(out.contains("<td class=\"number\"></td><td class=\"none\"></td><td class=\"number\">3</td><td class=\"new\">c: &lt;i&gt;</td>"), "{out}");
    }
}
