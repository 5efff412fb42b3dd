//! The name that was probably meant.

/// The closest of `names` to `found`, if it is close enough to be a slip: a third of its length, by optimal string
/// alignment without transpositions (Levenshtein).
#[must_use]
pub(crate) fn nearest<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A client chooses `found`: bound the work it can ask for.
    if found.len() > 128 {
        return None;
    }
    let budget = (found.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(found, name), name))
        .filter(|(d, _)| *d <= budget)
        .min()
        .map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let cost = diagonal + usize::from(x != y);
            diagonal = *cell;
            *cell = cost.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_single_edits() {
        for (a, b, d) in [("", "abc", 3), ("kitten", "sitting", 3), ("gpt-4o", "gpt-4o", 0), ("ä", "a", 1)] {
            assert_eq!((distance(a, b), distance(b, a)), (d, d), "{a} {b}");
        }
    }

    #[test]
    fn names_a_slip_and_nothing_else() {
        let names = ["gpt-4o-mini", "claude-3-5-haiku"];
        assert_eq!(nearest("gpt4o-mini", names), Some("gpt-4o-mini"));
        assert_eq!(nearest("llama", names), None);
        assert_eq!(nearest(&"x".repeat(200), names), None);
    }
}
