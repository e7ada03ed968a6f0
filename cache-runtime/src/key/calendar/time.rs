//! The types of `time`.

use time::Duration;
use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::UtcDateTime;
use time::UtcOffset;
use time::Weekday;

use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::calendar::Date;
use crate::key::calendar::Time;

/// Written in UTC, whatever its offset: `2026-11-21T124315.5Z`. Where UTC has left the years that `time` knows, as nanoseconds since 1970.
impl KeyPart for OffsetDateTime {
    fn write(&self, out: &mut KeyWriter<'_>) {
        match self.checked_to_offset(UtcOffset::UTC) {
            Some(utc) => {
                PrimitiveDateTime::new(utc.date(), utc.time()).write(out);
                out.verbatim(b"Z");
            }
            None => out.integer(self.unix_timestamp_nanos()),
        }
    }
}

/// Written as `2026-11-21T124315.5Z`.
impl KeyPart for UtcDateTime {
    fn write(&self, out: &mut KeyWriter<'_>) {
        PrimitiveDateTime::new(self.date(), self.time()).write(out);
        out.verbatim(b"Z");
    }
}

/// Written as `2026-11-21T124315.5`.
impl KeyPart for PrimitiveDateTime {
    fn write(&self, out: &mut KeyWriter<'_>) {
        self.date().write(out);
        out.verbatim(b"T");
        self.time().write(out);
    }
}

/// Written as `2026-11-21`.
impl KeyPart for time::Date {
    fn write(&self, out: &mut KeyWriter<'_>) {
        let (year, month, day) = self.to_calendar_date();
        Date { year, month: month.into(), day }.write(out);
    }
}

/// Written as `124315.5`.
impl KeyPart for time::Time {
    fn write(&self, out: &mut KeyWriter<'_>) {
        let (hour, minute, second, nanosecond) = self.as_hms_nano();
        Time { hour, minute, second, nanosecond }.write(out);
    }
}

/// Written in whole nanoseconds, as `std::time::Duration` is.
impl KeyPart for Duration {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.integer(self.whole_nanoseconds());
    }
}

/// Written as a number, from 1 for Monday to 7 for Sunday.
impl KeyPart for Weekday {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.integer(self.number_from_monday());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key_part;

    fn instant() -> impl Strategy<Value = OffsetDateTime> {
        let (first, last) = (PrimitiveDateTime::MIN.assume_utc(), PrimitiveDateTime::MAX.assume_utc());
        let seconds = prop_oneof![-3_i64..3, first.unix_timestamp()..=last.unix_timestamp()];
        let nanoseconds = prop_oneof![Just(0), Just(500_000_000_i64), 0..1_000_000_000_i64];
        (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| {
            OffsetDateTime::from_unix_timestamp(seconds).unwrap() + Duration::nanoseconds(nanoseconds)
        })
    }

    proptest! {
        #[test]
        fn equal_instants_are_written_alike_and_others_not(one in instant(), other in instant(), offset in -86_399..86_400_i32) {
            if let Some(elsewhere) = one.checked_to_offset(UtcOffset::from_whole_seconds(offset).unwrap()) {
                prop_assert_eq!(key_part(&elsewhere), key_part(&one));
                prop_assert_eq!(key_part(&elsewhere.to_utc()), key_part(&one));
            }
            prop_assert_eq!(key_part(&one) == key_part(&other), one == other);
            prop_assert_eq!(key_part(&one.date()) == key_part(&other.date()), one.date() == other.date());
            prop_assert_eq!(key_part(&one.time()) == key_part(&other.time()), one.time() == other.time());
            let read = |instant: OffsetDateTime| PrimitiveDateTime::new(instant.date(), instant.time());
            prop_assert_eq!(key_part(&read(one)) == key_part(&read(other)), read(one) == read(other));
        }

        #[test]
        fn equal_spans_are_written_alike_and_others_not(one in any::<i64>(), other in -2_i64..2) {
            let (one, other) = (Duration::nanoseconds(one), Duration::microseconds(other));
            prop_assert_eq!(key_part(&one) == key_part(&other), one == other);
        }
    }

    #[test]
    fn no_instant_is_beyond_being_written() {
        let east = UtcOffset::from_hms(23, 0, 0).unwrap();
        let before = PrimitiveDateTime::MIN.assume_offset(east);
        let later = before + Duration::NANOSECOND;
        assert_ne!(key_part(&before), key_part(&later));
        assert!(!key_part(&before).ends_with('Z'));
    }

    #[test]
    fn they_read_as_people_write_them() {
        let date = time::Date::from_calendar_date(2026, time::Month::November, 21).unwrap();
        assert_eq!(key_part(&date), "2026-11-21");
        assert_eq!(key_part(&date.with_hms_milli(12, 43, 5, 250).unwrap()), "2026-11-21T124305.25");
        assert_eq!(key_part(&date.midnight().assume_utc()), "2026-11-21T000000Z");
    }
}
