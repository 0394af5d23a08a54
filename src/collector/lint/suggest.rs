//! "Did you mean": the nearest of the known names.

/// Longest name looked at, for the distance costs length × length; component types are shorter.
const MAX_NAME: usize = 80;

/// Most names looked at.
const MAX_CANDIDATES: usize = 400;

/// Help text naming the candidate that is nearest to `wanted`, if one is near.
pub(super) fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    if wanted.len() > MAX_NAME {
        return None;
    }
    let nearest = candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|candidate| candidate.len() <= MAX_NAME)
        .map(|candidate| (distance(wanted, candidate), candidate))
        .min()?;
    let near = (wanted.chars().count() / 3).clamp(1, 3);
    (nearest.0 <= near).then(|| format!("did you mean {:?}?", nearest.1))
}

/// Levenshtein distance without regard to case and underscores.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let fold =
        |text: &str| text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_or_nothing() {
        let known = ["debug", "otlp", "otlphttp", "nop"];
        assert_eq!(did_you_mean("otlp_htp", known).unwrap(), "did you mean \"otlphttp\"?");
        assert_eq!(did_you_mean("Debug", known).unwrap(), "did you mean \"debug\"?");
        assert_eq!(did_you_mean("kafka", known), None);
        assert_eq!(did_you_mean(&"x".repeat(1_000_000), known), None);
    }
}
