//! Quantities as Go writes them (`k8s.io/apimachinery/pkg/api/resource`, `ParseQuantity` and `CanonicalizeBytes`).

/// More digits than these go another way there; such quantities are left as they are.
const DIGITS: usize = 18;
/// The smallest there is: a billionth.
const NANO: i32 = -9;
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Decimal,
    Exponent,
    Binary,
}

/// The text that Go writes for a quantity, such as `1Gi` for `1024Mi`; the same text where it is none, or has too many digits.
pub fn canonical(text: &str) -> String {
    rewritten(text.trim()).unwrap_or_else(|| text.to_owned())
}

fn rewritten(text: &str) -> Option<String> {
    let (minus, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() { "0" } else { whole };
    let digits = format!("{whole}{fraction}");
    let (format, power) = interpret(suffix)?;
    if number.is_empty() || fraction.contains('.') || digits.len() > DIGITS {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (mantissa, scale) = match format {
        Format::Binary => (value.checked_mul(1024_i128.checked_pow(power.unsigned_abs())?)?, -places),
        Format::Decimal | Format::Exponent => (value, power - places),
    };
    // What looks canonical to Go is left alone.
    let kept = match format {
        Format::Binary => fraction.is_empty() && value & 7 != 0,
        _ => scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0'),
    };
    if kept {
        return Some(text.to_owned());
    }
    if value == 0 {
        return Some("0".to_owned());
    }
    if scale < NANO {
        return None;
    }
    let (mantissa, suffix) = shortest(mantissa, scale, format)?;
    Some(format!("{}{mantissa}{suffix}", if minus { "-" } else { "" }))
}

/// The format that a suffix stands for, and the power of ten or of 1024.
fn interpret(suffix: &str) -> Option<(Format, i32)> {
    let at = |known: &[&str]| known.iter().position(|known| *known == suffix).and_then(|at| i32::try_from(at).ok());
    if let Some(at) = at(&DECIMAL) {
        return Some((Format::Decimal, 3 * at + NANO));
    }
    if let Some(power) = at(&BINARY) {
        return Some((Format::Binary, power));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-1000..1000).contains(&exponent).then_some((Format::Exponent, exponent))
}

/// The smallest mantissa with a suffix that says the rest.
fn shortest(mut mantissa: i128, mut scale: i32, format: Format) -> Option<(i128, String)> {
    while mantissa % 10 == 0 {
        (mantissa, scale) = (mantissa / 10, scale + 1);
    }
    if format == Format::Binary && scale >= 0 {
        let mut whole = mantissa.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?;
        if whole >= 1024 {
            let mut power = 0;
            while whole % 1024 == 0 {
                (whole, power) = (whole / 1024, power + 1);
            }
            return Some((whole, (*BINARY.get(power)?).to_owned()));
        }
    }
    let over = scale.rem_euclid(3);
    (mantissa, scale) = (mantissa.checked_mul(10_i128.pow(over.unsigned_abs()))?, scale - over);
    let suffix = match format {
        Format::Exponent if scale == 0 => String::new(),
        Format::Exponent => format!("e{scale}"),
        _ => (*DECIMAL.get(usize::try_from((scale - NANO) / 3).ok()?)?).to_owned(),
    };
    Some((mantissa, suffix))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    /// What `String()` of the Go library says of what it reads.
    #[test]
    fn quantities_are_written_as_go_writes_them() {
        let told = [
            ("0", "0"),
            ("0.5", "500m"),
            ("1.50", "1500m"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("2", "2"),
            ("1073741824", "1073741824"),
            ("1024Mi", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1e9", "1e9"),
            ("1E9", "1E9"),
            ("1e8", "100e6"),
            ("12e2", "1200"),
            ("1e-3", "1e-3"),
            ("2000M", "2G"),
            ("0.1Ki", "102400m"),
            ("1.1Ki", "1126400m"),
            ("1023Ki", "1023Ki"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("512Ki", "512Ki"),
            ("1000k", "1M"),
            ("+5", "+5"),
            ("-1500m", "-1500m"),
            ("-0.5Gi", "-512Mi"),
            ("0012Mi", "0012Mi"),
            ("1.", "1."),
            (".5", "500m"),
            ("0.000000001", "1n"),
            ("12E", "12E"),
            ("1000000n", "1m"),
            ("1.25Ti", "1280Gi"),
            ("3Ei", "3Ei"),
            ("1.0", "1"),
            ("10.0Mi", "10Mi"),
            ("0.0", "0"),
            ("0Mi", "0"),
            ("0e3", "0"),
            // None of these is one.
            ("", ""),
            ("x", "x"),
            ("1 Mi", "1 Mi"),
            ("1mi", "1mi"),
            ("1e", "1e"),
            ("1.2.3", "1.2.3"),
            // These have more digits than are looked at.
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1e30", "1e30"),
        ];
        for (text, written) in told {
            assert_eq!(canonical(text), written, "{text}");
        }
    }
}
