//! The serving keys as a Secret holds them, and what is to be done with them next.
//!
//! A pair is made together with a CA of its own whose key is thrown away at once: nobody can ever sign with it again, and
//! the Secret holds no key that is worth more than one server's name. So each rotation brings a new CA, in an order that
//! never shows the API server a certificate it does not trust yet:
//! [`Step::Prepare`] (the next pair is kept, its CA goes into the bundle) -> the bundle is seen in every webhook for
//! `settle` -> [`Step::Promote`] (the next pair is served). The CA before stays in the bundle until the next rotation, when all
//! that it signed has expired: a replica that has heard nothing all the while is trusted for as long as its certificate is good.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::webhook::authority::Pair;

/// When a pair that is served is no longer young: a third of its life is left.
const RENEW_AT_REST_OF: u32 = 3;

/// What the Secret holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The pair that is served.
    pub current: Option<Pair>,
    /// The pair that will be, once its CA is trusted everywhere.
    pub next: Option<Pair>,
    /// The CA of the pair that was served before, for replicas that still do.
    pub old_ca: Option<String>,
}

impl Keys {
    /// Reads the values of a Secret. What is incomplete or unreadable counts as absent: it is made anew.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Self {
        let text = |name: &str| {
            let text = String::from_utf8(data.get(name)?.clone()).ok()?;
            (!text.trim().is_empty()).then_some(text)
        };
        let pair = |chain: &str, key: &str, ca: &str| {
            let pair = Pair { chain: text(chain)?, key: text(key)?, ca: text(ca)? };
            pair.not_after().map(|_| pair)
        };
        Self {
            current: pair("tls.crt", "tls.key", "ca.crt"),
            next: pair("next.crt", "next.key", "next-ca.crt"),
            old_ca: text("old-ca.crt"),
        }
    }

    /// The values of the Secret; the inverse of [`Keys::read`].
    pub fn write(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::new();
        let mut put = |name: &str, text: &str| data.insert(name.to_owned(), text.as_bytes().to_vec());
        let pairs =
            [(&self.current, ["tls.crt", "tls.key", "ca.crt"]), (&self.next, ["next.crt", "next.key", "next-ca.crt"])];
        for (pair, names) in pairs {
            if let Some(pair) = pair {
                for (name, text) in names.iter().zip([&pair.chain, &pair.key, &pair.ca]) {
                    put(name, text);
                }
            }
        }
        if let Some(ca) = &self.old_ca {
            put("old-ca.crt", ca);
        }
        data
    }

    /// What the API server has to trust: the CA of the pair that is served, of the one that was, of the one that will be.
    pub fn bundle(&self) -> Option<String> {
        let current = self.current.as_ref()?;
        let mut bundle = String::new();
        for ca in
            [Some(&current.ca), self.next.as_ref().map(|next| &next.ca), self.old_ca.as_ref()].into_iter().flatten()
        {
            bundle.push_str(ca.trim_end());
            bundle.push('\n');
        }
        Some(bundle)
    }

    /// What is to be done at `now`. `trusted` is for how long every webhook's caBundle has been [`Keys::bundle`].
    pub fn step(&self, life: Life, trusted: Option<Duration>, now: SystemTime) -> Step {
        let left = |pair: &Pair| pair.not_after().and_then(|end| end.duration_since(now).ok()).unwrap_or_default();
        let Some(current) = self.current.as_ref().filter(|pair| !left(pair).is_zero()) else { return Step::Issue };
        match &self.next {
            Some(next) if left(next) <= life.whole / RENEW_AT_REST_OF => Step::Prepare,
            Some(_) => match trusted.map(|trusted| life.settle.checked_sub(trusted)) {
                None => Step::Rest(life.settle),
                Some(None | Some(Duration::ZERO)) => Step::Promote,
                Some(Some(rest)) => Step::Rest(rest),
            },
            None if left(current) <= life.whole / RENEW_AT_REST_OF => Step::Prepare,
            None => Step::Rest(left(current).saturating_sub(life.whole / RENEW_AT_REST_OF)),
        }
    }

    /// Takes a step; `fresh` is a pair just made, for the steps that need one.
    #[must_use]
    pub fn after(&self, step: &Step, fresh: Option<Pair>) -> Self {
        let ca = |pair: &Option<Pair>| pair.as_ref().map(|pair| pair.ca.clone());
        match step {
            Step::Rest(_) => self.clone(),
            Step::Issue => {
                Self { current: fresh, next: None, old_ca: ca(&self.current).or_else(|| self.old_ca.clone()) }
            }
            Step::Prepare => Self { next: fresh, old_ca: None, ..self.clone() },
            Step::Promote => Self { current: self.next.clone(), next: None, old_ca: ca(&self.current) },
        }
    }
}

/// How long a pair lives, and how long a change is given to reach every API server and replica.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// From making to expiry.
    pub whole: Duration,
    /// For a change to be seen everywhere.
    pub settle: Duration,
}

impl Life {
    /// A change settles within 30 s, or a twelfth of a short life.
    pub fn of(whole: Duration) -> Self {
        Self { whole, settle: (whole / 12).min(Duration::from_secs(30)) }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for so long.
    Rest(Duration),
    /// There is no pair that can be served: make one and serve it at once.
    Issue,
    /// Make the next pair, to be trusted before it is served, and forget the CA of the one before.
    Prepare,
    /// Serve the next pair.
    Promote,
}

impl Step {
    /// In a word, for the log.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Rest(_) => "rest",
            Self::Issue => "issue",
            Self::Prepare => "prepare",
            Self::Promote => "promote",
        }
    }

    /// Whether it needs a pair just made.
    pub fn makes(&self) -> bool {
        matches!(self, Self::Issue | Self::Prepare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::authority;

    const LIFE: Life = Life { whole: Duration::from_mins(15), settle: Duration::from_secs(30) };

    fn pair(now: SystemTime) -> Pair {
        authority::issue(&["localhost".into()], LIFE.whole, now).unwrap()
    }

    #[test]
    fn a_secret_is_read_as_it_was_written() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let keys = Keys { current: Some(pair(now)), next: Some(pair(now)), old_ca: Some(pair(now).ca) };
        assert_eq!(Keys::read(&keys.write()), keys);
        assert_eq!(Keys::read(&BTreeMap::new()), Keys::default());
        let mut broken = keys.write();
        broken.insert("tls.crt".into(), b"not a certificate".to_vec());
        broken.remove("next.key");
        let read = Keys::read(&broken);
        assert_eq!((read.current, read.next), (None, None));
    }

    #[test]
    fn a_rotation_never_serves_what_is_not_trusted_and_never_drops_what_is_served() {
        let start = SystemTime::now();
        let (mut keys, mut now) = (Keys::default(), start);
        let mut trusted: Option<Duration> = None;
        let (mut served, mut promotions) = (Vec::<Pair>::new(), 0);
        while now < start + LIFE.whole * 4 {
            let step = keys.step(LIFE, trusted, now);
            if let Step::Rest(rest) = step {
                assert!(rest > Duration::ZERO && rest <= LIFE.whole);
                let rest = rest.min(Duration::from_secs(7));
                now += rest;
                trusted = Some(trusted.unwrap_or_default() + rest);
                continue;
            }
            let bundle = keys.bundle();
            let made = step.makes().then(|| pair(now));
            let after = keys.after(&step, made);
            if step == Step::Promote {
                promotions += 1;
                assert!(trusted.unwrap() >= LIFE.settle);
                assert!(bundle.unwrap().contains(after.current.as_ref().unwrap().ca.trim_end()));
            }
            served.extend(after.current.clone());
            // Replicas that have not heard of the last steps serve one of before.
            for pair in served.iter().filter(|pair| pair.not_after().unwrap() > now) {
                assert!(after.bundle().unwrap().contains(pair.ca.trim_end()), "{step:?}");
            }
            assert!(after.bundle().unwrap().matches("BEGIN").count() <= 2);
            if after.bundle() != keys.bundle() {
                trusted = Some(Duration::ZERO);
            }
            keys = after;
            assert!(keys.current.as_ref().unwrap().not_after().unwrap() > now);
        }
        assert!(promotions >= 5, "{promotions}");
    }

    #[test]
    fn what_has_expired_is_made_anew_at_once() {
        let now = SystemTime::now();
        let keys = Keys { current: Some(pair(now)), ..Keys::default() };
        assert_eq!(keys.step(LIFE, None, now + LIFE.whole), Step::Issue);
        let after = keys.after(&Step::Issue, Some(pair(now + LIFE.whole)));
        assert_eq!(after.old_ca, keys.current.map(|pair| pair.ca));
        assert_eq!(Keys::default().step(LIFE, None, now), Step::Issue);
        let lost = Keys { old_ca: Some(pair(now).ca), ..Keys::default() };
        assert_eq!(lost.after(&Step::Issue, Some(pair(now))).old_ca, lost.old_ca, "replicas may still serve it");
    }
}
