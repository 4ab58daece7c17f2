//! `when` of a step or task, as Argo's `shouldExecute` (`workflow/controller/steps.go`) has govaluate judge it: [`lex`] makes tokens of it,
//! [`judge`] says what they come to, [`dates`] makes numbers of texts that are dates.
//!
//! Bare words are texts, as Argo makes them. What is not decided here (a value that only a run has, a construct that is not
//! read) is [`Undecided`], never a guess.

mod dates;
mod judge;
mod lex;
#[cfg(test)]
mod tests;

use judge::{Item, Trouble};

/// Why a condition is neither true nor false before the workflow runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A value of an earlier step is in it.
    #[error("{0} is known only at run time")]
    Later(String),
    /// Argo may well judge it; a construct in it is not read here.
    #[error("`{0}` is not judged here")]
    Beyond(String),
    /// Argo would refuse it.
    #[error("`{0}` cannot be judged: {1}")]
    Unclear(String, String),
}

/// Whether the step runs; an empty condition is true.
///
/// # Errors
/// It cannot be said before the workflow runs.
pub fn holds(when: &str) -> Result<bool, Undecided> {
    if when.is_empty() {
        return Ok(true);
    }
    if let Some(start) = when.find("{{") {
        let end = when[start..].find("}}").map_or(when.len(), |end| start + end + 2);
        return Err(Undecided::Later(when[start..end].to_owned()));
    }
    let unclear = |why: String| Undecided::Unclear(when.to_owned(), why);
    match judge::value(when) {
        Ok(Item::Bool(holds)) => Ok(holds),
        Ok(other) => Err(unclear(format!("it comes to {other}, not to true or false"))),
        Err(Trouble::Wrong(why)) => Err(unclear(why)),
        Err(Trouble::Beyond) => Err(Undecided::Beyond(when.to_owned())),
    }
}
