//! Which part of a file a request asks for: `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14). One range is
//! answered with that part; what is more, or is not understood, with the whole file, as the RFC allows.

use axum::http::{HeaderMap, HeaderValue, header};

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// From `first` to `last`, both of which are sent.
    Range {
        first: u64,
        last: u64,
    },
    /// The file ends before the range begins.
    Beyond,
}

/// `tag` is that of the file, which has `size` bytes.
#[must_use]
pub fn wanted(headers: &HeaderMap, tag: &str, size: u64) -> Part {
    let Some(range) = single(headers, header::RANGE) else { return Part::Whole };
    // A range of another file is of no use; a date says nothing of a file whose tag is its content.
    let same = headers.get(header::IF_RANGE).is_none_or(|given| given.as_bytes() == tag.as_bytes());
    if !same {
        return Part::Whole;
    }
    parse(range, size).unwrap_or(Part::Whole)
}

/// A header that is there once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let first: &HeaderValue = all.next()?;
    first.to_str().ok().filter(|_| all.next().is_none())
}

/// None for what is not one range of bytes.
fn parse(text: &str, size: u64) -> Option<Part> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let end = size.checked_sub(1);
    let (first, last) = match (first, last) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            (if suffix == 0 { size } else { size.saturating_sub(suffix) }, u64::MAX)
        }
        (first, "") => (number(first)?, u64::MAX),
        (first, last) => (number(first)?, number(last)?),
    };
    if last < first {
        return None;
    }
    Some(match end {
        Some(end) if first <= end => Part::Range { first, last: last.min(end) },
        _ => Part::Beyond,
    })
}

/// Digits only. A number that no file reaches is as good as any other such.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: &str = "\"abc\"";

    fn ask(pairs: &[(&'static str, &str)], size: u64) -> Part {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value): (header::HeaderName, HeaderValue)| {
            headers.append(name, value);
        });
        wanted(&headers, TAG, size)
    }

    #[test]
    fn s_pk_05_one_range_is_a_part_and_anything_else_is_the_whole() {
        let range = |first, last| Part::Range { first, last };
        let far = "bytes=0-99999999999999999999999999";
        for (text, part) in [
            ("bytes=0-0", range(0, 0)),
            ("bytes=2-5", range(2, 5)),
            ("BYTES = 2-5", range(2, 5)),
            ("bytes=2-", range(2, 9)),
            ("bytes=2-100", range(2, 9)),
            (far, range(0, 9)),
            ("bytes=-3", range(7, 9)),
            ("bytes=-100", range(0, 9)),
            ("bytes=9-9", range(9, 9)),
            ("bytes=10-", Part::Beyond),
            ("bytes=99999999999999999999999999-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(ask(&[("range", text)], 10), part, "{text:?}");
        }
        assert_eq!(ask(&[], 10), Part::Whole);
        assert_eq!(ask(&[("range", "bytes=0-1"), ("range", "bytes=3-4")], 10), Part::Whole);
        assert_eq!(ask(&[("range", "bytes=0-")], 0), Part::Beyond);
    }

    #[test]
    fn s_pk_05_if_range_takes_the_part_of_the_same_file_only() {
        let with = |tag| ask(&[("range", "bytes=2-5"), ("if-range", tag)], 10);
        assert_eq!(with(TAG), Part::Range { first: 2, last: 5 });
        for other in ["\"abd\"", "W/\"abc\"", "abc", "Sat, 21 Nov 2026 18:00:00 GMT", ""] {
            assert_eq!(with(other), Part::Whole, "{other}");
        }
    }

    proptest! {
        #[test]
        fn s_pk_05_a_part_lies_within_the_file(text in "(bytes=)?[0-9, -]{0,30}", size in 0..200u64) {
            if let Part::Range { first, last } = ask(&[("range", &text)], size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
