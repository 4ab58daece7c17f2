//! What happened to a pod, and when: in little memory until a span tells it.

use serde_json::Value as Json;

use super::span::{Event, Key, Value};
use super::status::{SECOND, Time, time};

/// By time: scheduled, initialized, its containers started and ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Moments {
    all: Box<[Moment]>,
    /// Names and reasons, once each.
    words: Box<[Box<str>]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// In seconds since 1970, as Kubernetes has it.
    at: u32,
    what: What,
}

/// Words by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Scheduled,
    Initialized,
    /// A container.
    Started(u16),
    /// With its exit code and the reason, as far as they are told.
    Ended {
        name: u16,
        code: Option<i32>,
        reason: Option<u16>,
    },
}

impl Moments {
    /// Out of a pod's status.
    pub(super) fn read(status: &Json) -> Self {
        let mut book = Book::default();
        for condition in status["conditions"].as_array().into_iter().flatten().filter(|c| c["status"] == "True") {
            let what = match condition["type"].as_str() {
                Some("PodScheduled") => What::Scheduled,
                Some("Initialized") => What::Initialized,
                _ => continue,
            };
            book.add(time(condition, "lastTransitionTime"), what);
        }
        let lists = [&status["initContainerStatuses"], &status["containerStatuses"]];
        for container in lists.into_iter().filter_map(Json::as_array).flatten() {
            let Some(name) = book.word(&container["name"]) else { continue };
            let ended = &container["state"]["terminated"];
            let began = if ended.is_object() { ended } else { &container["state"]["running"] };
            book.add(time(began, "startedAt"), What::Started(name));
            let code = ended["exitCode"].as_i64().and_then(|code| code.try_into().ok());
            let reason = book.word(&ended["reason"]);
            book.add(time(ended, "finishedAt"), What::Ended { name, code, reason });
        }
        book.all.sort_by_key(|moment| moment.at);
        Self { all: book.all.into(), words: book.words.into() }
    }

    /// When the last of the containers began.
    pub(super) fn began(&self) -> Option<Time> {
        let started = self.all.iter().filter(|moment| matches!(moment.what, What::Started(_)));
        started.map(|moment| moment.at()).max()
    }

    /// As a span tells them.
    pub(super) fn events(&self) -> Vec<Event> {
        self.all.iter().map(|moment| self.event(*moment)).collect()
    }

    fn event(&self, moment: Moment) -> Event {
        let word = |at: u16| Value::from(self.words.get(usize::from(at)).map_or("", |word| word));
        let of = |name| (Key::from("k8s.container.name"), word(name));
        let (name, attributes) = match moment.what {
            What::Scheduled => ("pod.scheduled", Vec::new()),
            What::Initialized => ("pod.initialized", Vec::new()),
            What::Started(name) => ("container.started", vec![of(name)]),
            What::Ended { name, code, reason } => {
                let mut attributes = vec![of(name)];
                attributes.extend(code.map(|code| (Key::from("process.exit.code"), Value::Int(code.into()))));
                attributes.extend(reason.map(|reason| (Key::from("reason"), word(reason))));
                ("container.ended", attributes)
            }
        };
        Event { at: moment.at(), name, attributes }
    }
}

impl Moment {
    fn at(self) -> Time {
        Time::from(self.at) * SECOND
    }
}

/// While they are read.
#[derive(Default)]
struct Book {
    all: Vec<Moment>,
    words: Vec<Box<str>>,
}

impl Book {
    fn add(&mut self, at: Option<Time>, what: What) {
        self.all.extend(at.and_then(|at| Some(Moment { at: (at / SECOND).try_into().ok()?, what })));
    }

    /// The place of a word; `None` where it is none.
    fn word(&mut self, word: &Json) -> Option<u16> {
        let word = word.as_str()?;
        let at = self.words.iter().position(|known| **known == *word).unwrap_or_else(|| {
            self.words.push(word.into());
            self.words.len() - 1
        });
        at.try_into().ok()
    }
}
