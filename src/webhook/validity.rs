//! Reads the validity out of an X.509 certificate (RFC 5280, 4.1): all of it that is asked for here.

use std::time::SystemTime;

use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the DER certificate expires; `None` where it is not a certificate.
pub(crate) fn not_after(der: &[u8]) -> Option<SystemTime> {
    time_in(element(validity(der)?)?.2)
}

/// When the DER certificate begins to be good; `None` where it is not a certificate.
pub(crate) fn not_before(der: &[u8]) -> Option<SystemTime> {
    time_in(validity(der)?)
}

fn validity(der: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(der)?;
    let (_, mut body, _) = element(certificate)?;
    if body.first() == Some(&VERSION) {
        body = element(body)?.2;
    }
    // serialNumber, signature, issuer
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (SEQUENCE, validity, _) = element(body)? else { return None };
    Some(validity)
}

fn time_in(der: &[u8]) -> Option<SystemTime> {
    let (tag, text, _) = element(der)?;
    time_of(tag, std::str::from_utf8(text).ok()?)
}

/// Splits off one DER element: tag, content, rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, where 50 to 99 are of the last century, or `YYYYMMDDHHMMSSZ`.
fn time_of(tag: u8, text: &str) -> Option<SystemTime> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        (GENERALIZED_TIME, 14) => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(OffsetDateTime::new_utc(date, time).into())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn reads_what_was_written_before_and_after_2050() {
        for year in [2027, 2049, 2050, 2099] {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_before = date_time_ymd(year - 2, 3, 14);
            params.not_after = date_time_ymd(year, 3, 14);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_before(certificate.der()), Some(date_time_ymd(year - 2, 3, 14).into()));
            assert_eq!(not_after(certificate.der()), Some(date_time_ymd(year, 3, 14).into()));
        }
    }

    #[test]
    fn no_prefix_of_a_certificate_is_one() {
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let der = certificate.der();
        assert!((0..der.len()).all(|cut| not_after(&der[..cut]).is_none()));
    }
}
