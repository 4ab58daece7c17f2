//! Kubernetes quantities, only as far as comparing them needs (`k8s.io/apimachinery/pkg/api/resource/quantity.go`).

/// A quantity in units of 10^-9; `None` where the text is not a quantity or does not fit.
pub fn nanos(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: i128 = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANO,
        "k" => 1_000 * NANO,
        "M" => 1_000_000 * NANO,
        "G" => 1_000_000_000 * NANO,
        "T" => 1_000_000_000_000 * NANO,
        "P" => 1_000_000_000_000_000 * NANO,
        "E" => 1_000_000_000_000_000_000 * NANO,
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10i128.checked_pow(u32::try_from(power.clamp(-9, 18) + 9).ok()?)?
        }
    };
    decimal(number, factor)
}

const NANO: i128 = 1_000_000_000;

/// `number` times `factor`, digits below one unit cut off.
fn decimal(number: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 || whole.len() > 19 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = part.checked_mul(factor)? / 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(factor)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_as_kubernetes_does() {
        let ordered = ["1n", "1u", "1m", "100m", "0.5", "1", "1.5", "1k", "1Ki", "1e6", "1Mi", "1G", "1Gi", "2Gi"];
        let values: Vec<_> = ordered.iter().map(|q| nanos(q).unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a < b), "{values:?}");
        assert_eq!(nanos("1000m"), nanos("1"));
        assert_eq!(nanos("1024Mi"), nanos("1Gi"));
        assert_eq!(nanos("500e-3"), nanos("500m"));
        for bad in ["", "x", "1x", "1.2.3", "Mi", "--1", "1e", "99999999999999999999999"] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }
}
