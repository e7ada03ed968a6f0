//! Names in messages: what could have been meant, and what there is.

/// The name among `known` that `written` was most likely meant to be.
pub(crate) fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let most = (written.chars().count() / 3).max(1);
    let distances = known.into_iter().map(|name| (distance(written, name), name));
    distances.filter(|&(distance, _)| distance <= most).min_by_key(|&(distance, _)| distance).map(|(_, name)| name)
}

/// The names as prose: `a`, `b` or `c`.
pub(crate) fn list<'n>(names: impl IntoIterator<Item = &'n str>, conjunction: &str) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {conjunction} {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// How many letters to insert, drop, replace or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (at, letter) in left.chars().enumerate() {
        let mut next = vec![at + 1];
        for (column, &other) in right.iter().enumerate() {
            let replaced = row[column] + usize::from(letter != other);
            let mut least = replaced.min(row[column + 1] + 1).min(next[column] + 1);
            if column > 0 && previous == Some(other) && right[column - 1] == letter {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(letter);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name() {
        assert_eq!(nearest("tll", ["key", "ttl", "tags"]), Some("ttl"));
        assert_eq!(nearest("tag", ["key", "ttl", "tags"]), Some("tags"));
        assert_eq!(nearest("uid", ["id", "name"]), Some("id"));
        assert_eq!(nearest("tennant", ["id", "tenant"]), Some("tenant"));
        assert_eq!(nearest("i", ["id", "name"]), Some("id"));
    }

    #[test]
    fn a_stranger_finds_none() {
        assert_eq!(nearest("expiry", ["key", "ttl", "tags"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn distance_is_symmetric_and_zero_only_for_itself() {
        for (left, right, expected) in [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(left, right), expected);
            assert_eq!(distance(right, left), expected);
        }
    }

    #[test]
    fn names_read_as_prose() {
        assert_eq!(list([], "or"), "");
        assert_eq!(list(["a"], "or"), "`a`");
        assert_eq!(list(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
