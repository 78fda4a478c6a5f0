//! Which known name was probably meant.

/// The known name nearest to a misspelt one, when it is near enough: one edit
/// for short names, two from eight characters on, three from sixteen; or equal
/// but for case, `-` and `_`.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let length = name.chars().count();
    let allowed = match length {
        0..=2 => 0,
        3..=7 => 1,
        8..=15 => 2,
        _ => 3,
    };
    let folded = fold(name);
    known
        .filter_map(|candidate| {
            if fold(candidate) == folded {
                return Some((0, candidate));
            }
            let distance = distance(name, candidate);
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| *c != '_' && *c != '-')
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edits between two names: insert, delete, replace, or swap two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (row, a) in a.chars().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        let mut previous_b = None;
        for (column, b) in b.iter().copied().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX);
            let replaced = cell(&last, column).saturating_add(usize::from(a != b));
            let inserted = cell(&current, column).saturating_add(1);
            let deleted = cell(&last, column.saturating_add(1)).saturating_add(1);
            let mut best = replaced.min(inserted).min(deleted);
            if previous_a == Some(b) && previous_b == Some(a) {
                let swapped = cell(&before_last, column.saturating_sub(1)).saturating_add(1);
                best = best.min(swapped);
            }
            current.push(best);
            previous_b = Some(b);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_a = Some(a);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances_count_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("mastre_key", "master_key", 1),
            ("api_bse", "api_base", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = [
            "master_key",
            "model_list",
            "api_key",
            "api_base",
            "rpm",
            "tpm",
        ];
        let suggest = |name| nearest(name, known.into_iter());
        assert_eq!(suggest("mastre_key"), Some("master_key"));
        assert_eq!(suggest("masterKey"), Some("master_key"));
        assert_eq!(suggest("model-list"), Some("model_list"));
        assert_eq!(suggest("api_kye"), Some("api_key"));
        assert_eq!(suggest("temperature"), None);
        assert_eq!(suggest("x"), None);
    }
}
