//! Which keys the callers ask for.

/// How many keys there are when there are many.
pub const MANY: u64 = 100_000;

/// `count` times the same key.
pub fn hot(count: usize) -> Vec<u64> {
    vec![7; count]
}

/// `count` of [`MANY`] keys, the second most popular asked for half as often as the first, the third a third as often, and so on. Always the same sequence.
pub fn zipf(count: usize) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(7);
    // Popular keys lie anywhere.
    let mut keys: Vec<u64> = (0..MANY).collect();
    random.shuffle(&mut keys);
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=MANY)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut draw = || sums.partition_point(|below| *below < random.f64() * sum);
    (0..count).map(|_| keys[draw().min(keys.len() - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_first_is_asked_for_twice_as_often_as_the_second() {
        let mut counts = HashMap::new();
        zipf(200_000).into_iter().for_each(|key| *counts.entry(key).or_insert(0_u32) += 1);
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
        assert!(counts.len() > 30_000, "{}", counts.len());
    }
}
