//! The name that was probably meant.

/// The closest of `names` to `found`, if it is close enough to be a slip: a third of its length, by optimal string
/// alignment. Case is no difference: whoever writes `OpenAI` means `openai`.
#[must_use]
pub(crate) fn nearest<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A client chooses `found`: bound the work it can ask for.
    if found.len() > 128 {
        return None;
    }
    let length = found.chars().count();
    let budget = (length / 3).max(1);
    names
        .into_iter()
        // Whose length differs by more is no slip: most names need no closer look.
        .filter(|name| name.chars().count().abs_diff(length) <= budget)
        .map(|name| (distance(found, name), name))
        .filter(|(d, _)| *d <= budget)
        .min()
        .map(|(_, name)| name)
}

/// Letters to put in, take out, change, or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (at(&above, j) + usize::from(x != y)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            // The letter before this one, in either word, is the other's.
            if let (Some(i), Some(j)) = (i.checked_sub(1), j.checked_sub(1))
                && a.get(i) == Some(y)
                && b.get(j) == Some(x)
            {
                cost = cost.min(at(&before, j) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_single_edits() {
        for (a, b, d) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("gpt-4o", "gpt-4o", 0),
            ("ä", "a", 1),
            ("opne", "open", 1),
            ("ab", "ba", 1),
            ("abcd", "badc", 2),
            ("OpenAI", "openai", 0),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (d, d), "{a} {b}");
        }
    }

    #[test]
    fn names_a_slip_and_nothing_else() {
        let names = ["gpt-4o-mini", "claude-3-5-haiku"];
        assert_eq!(nearest("gpt4o-mini", names), Some("gpt-4o-mini"));
        assert_eq!(nearest("gtp-4o-mini", names), Some("gpt-4o-mini"));
        assert_eq!(nearest("llama", names), None);
        assert_eq!(nearest(&"x".repeat(200), names), None);
    }
}
