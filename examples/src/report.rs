//! Printing figures, and checking what is claimed of them.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

/// Why a program ends with code 1.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Says that `claim` holds, or ends the program.
///
/// # Errors
///
/// A sentence with the claim, when it does not hold.
pub fn check(holds: bool, claim: impl Display) -> Result<(), Failure> {
    if !holds {
        return Err(format!("this should hold, and does not: {claim}").into());
    }
    println!("  ok: {claim}");
    Ok(())
}

/// Runs `call` once for each of `inputs`, and returns the median time.
///
/// # Errors
///
/// The first error of `call`.
pub async fn median<T, R, E>(inputs: &[T], mut call: impl AsyncFnMut(&T) -> Result<R, E>) -> Result<Duration, E> {
    let mut times = Vec::with_capacity(inputs.len());
    for input in inputs {
        let start = Instant::now();
        call(input).await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Ends `main`: code 0, or code 1 with a sentence.
pub fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the heading of a part.
pub fn heading(text: &str) {
    println!("\n{text}");
}
