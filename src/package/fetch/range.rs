//! `Content-Range`, as far as it matters here.

/// `bytes START-END/TOTAL`, `bytes */TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) start: Option<u64>,
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// None for what does not hold together.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        let total: Option<u64> = if total == "*" { None } else { Some(number(total)?) };
        if range == "*" {
            return Some(Self { start: None, total: Some(total?) });
        }
        let (start, end) = range.split_once('-')?;
        let (start, end): (u64, u64) = (number(start)?, number(end)?);
        // To its end: the rest was asked for, not a piece of it.
        let whole = total.is_none_or(|total| end + 1 == total);
        (start <= end && whole).then_some(Self { start: Some(start), total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_44_what_does_not_hold_together_is_no_range() {
        let of = |start, total| Some(ContentRange { start, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), of(Some(5), Some(10)));
        assert_eq!(ContentRange::parse("bytes 5-9/*"), of(Some(5), None));
        assert_eq!(ContentRange::parse("bytes */10"), of(None, Some(10)));
        for wrong in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 9-5/10",
            "bytes 5-8/10",
            "bytes 5-10/10",
            "bytes */*",
            "bytes -9/10",
            "bytes +5-9/10",
            "items 5-9/10",
            "bytes 5-99999999999999999999/10",
        ] {
            assert_eq!(ContentRange::parse(wrong), None, "{wrong:?}");
        }
    }
}
