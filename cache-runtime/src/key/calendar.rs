//! Dates and times, written alike whichever crate they are of: `2026-11-21`, `124315.5`, `2026-11-21T124315.5Z`.
//!
//! The `Z` stands for UTC: instants are written in it, so that equal ones are written alike. A clock's reading that is of no zone has none. A trailing zero of a fraction is never written.

#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "time")]
mod time;

use crate::key::KeyWriter;

struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    fn write(&self, out: &mut KeyWriter<'_>) {
        if self.year < 0 {
            out.verbatim(b"-");
        }
        let year = self.year.unsigned_abs();
        out.verbatim(&b"000"[..3_usize.saturating_sub(year.checked_ilog10().unwrap_or(0) as usize)]);
        out.integer(year);
        out.verbatim(b"-");
        pair(self.month, out);
        out.verbatim(b"-");
        pair(self.day, out);
    }
}

struct Time {
    hour: u8,
    minute: u8,
    second: u8,
    /// Of the second; beyond a thousand million in a leap second.
    nanosecond: u32,
}

impl Time {
    fn write(&self, out: &mut KeyWriter<'_>) {
        pair(self.hour, out);
        pair(self.minute, out);
        pair(self.second, out);
        if self.nanosecond >= SECOND {
            out.verbatim(b"L");
        }
        let fraction = self.nanosecond % SECOND;
        if fraction > 0 {
            out.verbatim(b".");
            fraction_digits(fraction, out);
        }
    }
}

const SECOND: u32 = 1_000_000_000;

fn pair(number: u8, out: &mut KeyWriter<'_>) {
    out.verbatim(&[b'0' + number / 10, b'0' + number % 10]);
}

fn fraction_digits(mut fraction: u32, out: &mut KeyWriter<'_>) {
    while fraction > 0 {
        let place = SECOND / 10;
        out.verbatim(&[b'0' + (fraction / place) as u8]);
        fraction = fraction % place * 10;
    }
}
