//! Times, sizes and shares as arguments give them.

use std::time::Duration;

/// Shorter ones would be replaced faster than a change settles.
const SHORTEST_LIFE: Duration = Duration::from_secs(30);

/// The life of a certificate.
pub(super) fn life(text: &str) -> Result<Duration, String> {
    let life = duration(text)?;
    if life < SHORTEST_LIFE { Err("at least 30s".into()) } else { Ok(life) }
}

/// A time of whole seconds, at least one.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(1) || time.subsec_nanos() > 0 { Err("whole seconds".into()) } else { Ok(time) }
}

/// `300ms`, `5s`, `2m`, `1h`, `90d`; `0s` is allowed.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| "a time is a whole number and a unit: 300ms, 5s, 2m, 1h, 90d")?;
    match &text[split..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3_600))),
        "d" => Ok(Duration::from_secs(number.saturating_mul(86_400))),
        _ => Err("a time needs a unit: 300ms, 5s, 2m, 1h, 90d".into()),
    }
}

/// `512KiB`, `8MiB`, `1GiB`, or plain bytes; not 0.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..split].parse().map_err(|_| "a size is a whole number and a unit: 512KiB, 8MiB")?;
    let unit: usize = match &text[split..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("a size ends in KiB, MiB or GiB, or is in bytes".into()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(|| "out of range".into())
}

/// A share, from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| "a number from 0 to 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_as_written() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert!(duration("5").unwrap_err().contains("unit"));
        assert!(duration("-5s").is_err());
        assert_eq!(size("8MiB"), Ok(8 << 20));
        assert_eq!(size("100"), Ok(100));
        assert!(size("0").is_err() && size("8MB").is_err() && size("99999999999GiB").is_err());
        assert!(ratio("1.5").is_err() && ratio("NaN").is_err());
    }
}
