//! Two ways of doing the same, in turn, so that a machine that slows down slows both.

use std::time::Duration;

/// One side of a comparison: a name, and what runs it once and says how long that took.
pub type Side<'a> = (&'a str, Box<dyn FnMut() -> Duration + 'a>);

/// Runs all sides `rounds` times in turn and returns the median of each, for `count` operations per run.
pub fn medians(sides: &mut [Side<'_>], rounds: usize, count: u32) -> Vec<f64> {
    let mut times = vec![Vec::new(); sides.len()];
    for _ in 0..rounds {
        for ((_, run), times) in sides.iter_mut().zip(&mut times) {
            times.push(run().as_secs_f64() * 1e9 / f64::from(count));
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}
