//! Durations as Go writes them: `300ms`, `5s`, `1m30s`, `1.5h`.

/// Nanoseconds in each unit; `µ` has two code points.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds, negative ones included: that a duration must be positive is the key's own rule.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(part(number, *nanos)?)?;
        rest = after;
    }
    let nanos = i64::try_from(total).ok()?;
    Some(if negative { -nanos } else { nanos })
}

fn part(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in fraction.bytes() {
        scale /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * scale)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn go_durations() {
        let second = 1_000_000_000;
        for (text, nanos) in [
            ("0", 0),
            ("5s", 5 * second),
            ("1m30s", 90 * second),
            ("300ms", 300_000_000),
            ("1.5h", 5400 * second),
            (".5s", second / 2),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("-3s", -3 * second),
            ("+1h1ns", 3600 * second + 1),
        ] {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
        for text in ["", "5", "s", "5 s", "1.2.3s", ".s", "5x", "-", "99999999999h", "5s7"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
