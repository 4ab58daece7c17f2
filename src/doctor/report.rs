//! What was found, in data: the command line prints it.

use serde::Serialize;

use crate::cluster::ask::Refusal;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be, or worth knowing.
    Ok,
    /// Works, but not as it could.
    Warn,
    /// Does not work.
    Fail,
    /// Could not be looked at, or is not asked for.
    Skip,
}

impl State {
    /// The word that is printed.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it came out.
    pub state: State,
    /// The check's name, a word or two.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { state: State::Ok, check, found: found.into(), hint: None }
    }

    /// Works, but not as it could.
    pub fn warn(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Warn, check, found: found.into(), hint: Some(hint.into()) }
    }

    /// Does not work.
    pub fn fail(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Fail, check, found: found.into(), hint: Some(hint.into()) }
    }

    /// Was not looked at.
    pub fn skip(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { state: State::Skip, check, found: found.into(), hint: Some(hint.into()) }
    }
}

impl Refusal {
    /// What a check says that got no answer.
    pub fn finding(&self, check: &'static str) -> Finding {
        match self {
            Self::Forbidden(right) => {
                Finding::skip(check, self.to_string(), format!("look again as somebody who may {right}"))
            }
            Self::Absent => Finding::skip(check, self.to_string(), "nothing to look at"),
            Self::Unauthorized(_) | Self::Failed(_) => {
                Finding::fail(check, self.to_string(), "try again, or see its log")
            }
        }
    }
}

/// What a group of checks is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The cluster as it is without us.
    Cluster,
    /// Our own objects.
    Install,
    /// A namespace in which steps run.
    Namespace(String),
}

/// The checks of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they are about.
    pub subject: Subject,
    /// In the order they were made.
    pub findings: Vec<Finding>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The cluster, the install, then each namespace.
    pub groups: Vec<Group>,
}

/// How many checks came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// As they should be.
    pub ok: usize,
    /// Work, but not as they could.
    pub warn: usize,
    /// Do not work.
    pub fail: usize,
    /// Were not looked at.
    pub skip: usize,
}

impl Report {
    /// How many checks came out how.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for finding in self.groups.iter().flat_map(|group| &group.findings) {
            match finding.state {
                State::Ok => tally.ok += 1,
                State::Warn => tally.warn += 1,
                State::Fail => tally.fail += 1,
                State::Skip => tally.skip += 1,
            }
        }
        tally
    }
}
