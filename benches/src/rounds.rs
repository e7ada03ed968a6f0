//! Comparing on a machine that is never quiet.
//!
//! All contenders run once in every round, one right after the other, and each is held against the first of the same round. What slows the machine down for longer
//! than a round slows all of them, so ratios stay true where times do not.

use std::fmt;

/// One way of doing what all others do too.
#[expect(missing_debug_implementations, reason = "it is a closure")]
pub struct Contender<'a> {
    name: String,
    run: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    /// `run` does it once and returns what is compared, be it a time or a rate.
    pub fn new(name: impl Into<String>, run: impl FnMut() -> f64 + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// Who it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What the rounds of one contender came to.
#[derive(Debug)]
pub struct Outcome {
    /// Who it was.
    pub name: String,
    /// What was measured.
    pub measured: Spread,
    /// The same, divided by what the first contender had in the same round.
    pub ratio: Spread,
}

/// A median, and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// A quarter lies below.
    pub low: f64,
    /// Half lies below.
    pub median: f64,
    /// A quarter lies above.
    pub high: f64,
}

/// Runs all `contenders` in turn, `rounds` times, after one round that does not count.
pub fn race(contenders: &mut [Contender<'_>], rounds: usize) -> Vec<Outcome> {
    let mut measured = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..=rounds {
        for (contender, measured) in contenders.iter_mut().zip(&mut measured) {
            let value = (contender.run)();
            if round > 0 {
                measured.push(value);
            }
        }
    }
    let outcome = |(contender, own): (&Contender<'_>, &Vec<f64>)| Outcome {
        name: contender.name.clone(),
        measured: Spread::of(own.iter().copied()),
        ratio: Spread::of(own.iter().zip(&measured[0]).map(|(own, first)| own / first)),
    };
    contenders.iter().zip(&measured).map(outcome).collect()
}

impl Spread {
    /// # Panics
    ///
    /// When there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |quarters: usize| values[(values.len() - 1) * quarters / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

/// As `1.20 (1.15–1.31)`, with the precision that is asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slows_down_changes_no_ratio() {
        let slowness = std::cell::Cell::new(1.0);
        let slowed = |cost: f64| cost * slowness.get();
        let mut contenders = [
            Contender::new("first", || {
                slowness.set(slowness.get() * 1.5);
                slowed(10.0)
            }),
            Contender::new("second", || slowed(20.0)),
        ];
        let outcomes = race(&mut contenders, 9);
        assert!(outcomes[0].measured.high > 2.0 * outcomes[0].measured.low);
        let Spread { low, median, high } = outcomes[1].ratio;
        assert!([low, median, high].iter().all(|ratio| (ratio - 2.0).abs() < 1e-9));
    }
}
