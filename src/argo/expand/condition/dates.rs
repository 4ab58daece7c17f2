//! Texts that are dates: govaluate compares their seconds (`tryParseTime` of its `parsing.go`). Without a zone they are the controller's,
//! whose clock is UTC.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The seconds since 1970 of a text that is a date or a time of day; the forms with names are left out.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let rest = Rest(text.as_bytes());
    time_of_day(rest).or_else(|| date(rest))
}

/// Whether a text begins as `Mon Jan _2 15:04:05 2006` does, and its like.
pub(super) fn is_in_words(text: &str) -> bool {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let mut words = text.split_ascii_whitespace();
    let mut is_one_of =
        |all: &[&str]| words.next().is_some_and(|word| all.iter().any(|one| one.eq_ignore_ascii_case(word)));
    is_one_of(&DAYS) && is_one_of(&MONTHS)
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    /// Two digits; or one, where that is enough.
    fn number(&mut self, two: bool) -> Option<i64> {
        let digit = |sign: &u8| sign.is_ascii_digit().then(|| i64::from(sign - b'0'));
        let first = self.0.first().and_then(digit)?;
        let second = self.0.get(1).and_then(digit);
        if second.is_none() && two {
            return None;
        }
        self.0 = self.0.get(if second.is_some() { 2 } else { 1 }..)?;
        Some(second.map_or(first, |second| first * 10 + second))
    }

    fn below(&mut self, limit: i64) -> Option<i64> {
        self.number(true).filter(|number| *number < limit)
    }

    fn sign(&mut self, sign: u8) -> bool {
        let after = self.0.strip_prefix(&[sign]);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    /// Parts of a second, which do not count.
    fn skip_fraction(&mut self) {
        if let [b'.' | b',', digits @ ..] = self.0 {
            let count = digits.iter().take_while(|sign| sign.is_ascii_digit()).count();
            self.0 = if count > 0 { &digits[count..] } else { self.0 };
        }
    }

    /// The seconds of an offset, and nothing behind it.
    fn offset(mut self, with_colon: bool) -> Option<i64> {
        let east = match self.0.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.below(25)?;
        if with_colon && !self.sign(b':') {
            return None;
        }
        // Go lets sixty minutes pass.
        let minutes = self.below(61)?;
        self.0.is_empty().then_some(east * (hours * 3600 + minutes * 60))
    }
}

/// `3:04PM`: of the first day of year 0.
fn time_of_day(mut rest: Rest<'_>) -> Option<i64> {
    let hour = rest.number(false).filter(|hour| *hour <= 12 && rest.sign(b':'))?;
    let minute = rest.below(60)?;
    let hour = match rest.0 {
        b"PM" if hour < 12 => hour + 12,
        b"AM" if hour == 12 => 0,
        b"PM" | b"AM" => hour,
        _ => return None,
    };
    Some(days(0, 1, 1) * DAY + hour * 3600 + minute * 60)
}

/// `2006-01-02`, with a time behind a space or a `T`.
fn date(mut rest: Rest<'_>) -> Option<i64> {
    let year = rest.number(true)? * 100 + rest.number(true)?;
    let month = rest.sign(b'-').then(|| rest.number(true))?.filter(|month| (1..=12).contains(month))?;
    let day = rest.sign(b'-').then(|| rest.number(true))??;
    if day < 1 || day > days_of(year, month) {
        return None;
    }
    let midnight = days(year, month, day) * DAY;
    if rest.0.is_empty() {
        return Some(midnight);
    }
    let iso = rest.sign(b'T');
    if !iso && !rest.sign(b' ') {
        return None;
    }
    while !iso && rest.sign(b' ') {}
    let mut time = rest.number(false).filter(|hour| *hour < 24)? * 3600;
    let mut to_the_second = false;
    if rest.sign(b':') {
        time += rest.below(60)? * 60;
        if rest.sign(b':') {
            time += rest.below(60)?;
            rest.skip_fraction();
            to_the_second = true;
        }
    } else if !iso {
        return None;
    }
    let offset = match (iso, rest.0) {
        (false, []) | (true, [b'Z']) => 0,
        (false, _) if to_the_second => rest.offset(true)?,
        (true, _) => rest.offset(false).or_else(|| rest.offset(true).filter(|_| to_the_second))?,
        (false, _) => return None,
    };
    Some(midnight + time - offset)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the first of 1970 (H. Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
