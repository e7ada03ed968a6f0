//! The types of `chrono`.

use chrono::DateTime;
use chrono::Datelike as _;
use chrono::NaiveDate;
use chrono::NaiveDateTime;
use chrono::NaiveTime;
use chrono::TimeDelta;
use chrono::TimeZone;
use chrono::Timelike as _;
use chrono::Weekday;

use crate::key::KeyPart;
use crate::key::KeyWriter;
use crate::key::calendar::Date;
use crate::key::calendar::Time;

/// Written in UTC, whatever its zone: `2026-11-21T124315.5Z`.
impl<Tz: TimeZone> KeyPart for DateTime<Tz> {
    fn write(&self, out: &mut KeyWriter<'_>) {
        self.naive_utc().write(out);
        out.verbatim(b"Z");
    }
}

/// Written as `2026-11-21T124315.5`.
impl KeyPart for NaiveDateTime {
    fn write(&self, out: &mut KeyWriter<'_>) {
        self.date().write(out);
        out.verbatim(b"T");
        self.time().write(out);
    }
}

/// Written as `2026-11-21`.
impl KeyPart for NaiveDate {
    fn write(&self, out: &mut KeyWriter<'_>) {
        Date { year: self.year(), month: self.month() as u8, day: self.day() as u8 }.write(out);
    }
}

/// Written as `124315.5`.
impl KeyPart for NaiveTime {
    fn write(&self, out: &mut KeyWriter<'_>) {
        let (hour, minute, second) = (self.hour() as u8, self.minute() as u8, self.second() as u8);
        Time { hour, minute, second, nanosecond: self.nanosecond() }.write(out);
    }
}

/// Written in whole nanoseconds, as `std::time::Duration` is.
impl KeyPart for TimeDelta {
    fn write(&self, out: &mut KeyWriter<'_>) {
        out.integer(i128::from(self.num_seconds()) * 1_000_000_000 + i128::from(self.subsec_nanos()));
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
    use chrono::FixedOffset;
    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;
    use crate::key_part;

    fn instant() -> impl Strategy<Value = DateTime<Utc>> {
        let seconds =
            prop_oneof![-3_i64..3, DateTime::<Utc>::MIN_UTC.timestamp()..DateTime::<Utc>::MAX_UTC.timestamp()];
        let nanoseconds = prop_oneof![Just(0), Just(500_000_000_u32), 0..1_000_000_000_u32];
        (seconds, nanoseconds)
            .prop_map(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds).unwrap())
    }

    proptest! {
        #[test]
        fn equal_instants_are_written_alike_and_others_not(one in instant(), other in instant(), zone in -86_399..86_400_i32) {
            let elsewhere = one.with_timezone(&FixedOffset::east_opt(zone).unwrap());
            prop_assert_eq!(key_part(&elsewhere), key_part(&one));
            prop_assert_eq!(key_part(&one) == key_part(&other), one == other);
            let (date, other_date) = (one.date_naive(), other.date_naive());
            prop_assert_eq!(key_part(&date) == key_part(&other_date), date == other_date);
            let (time, other_time) = (one.time(), other.time());
            prop_assert_eq!(key_part(&time) == key_part(&other_time), time == other_time);
            let (read, other_read) = (one.naive_utc(), other.naive_utc());
            prop_assert_eq!(key_part(&read) == key_part(&other_read), read == other_read);
        }

        #[test]
        fn equal_spans_are_written_alike_and_others_not(one in any::<i64>(), other in -2_i64..2) {
            let (one, other) = (TimeDelta::nanoseconds(one), TimeDelta::microseconds(other));
            prop_assert_eq!(key_part(&one) == key_part(&other), one == other);
            prop_assert_eq!(key_part(&other), key_part(&other.num_nanoseconds().unwrap()));
        }
    }

    #[test]
    fn they_read_as_people_write_them() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
        assert_eq!(key_part(&date), "2026-11-21");
        assert_eq!(key_part(&date.and_hms_milli_opt(12, 43, 5, 250).unwrap()), "2026-11-21T124305.25");
        assert_eq!(key_part(&date.and_hms_opt(0, 0, 0).unwrap().and_utc()), "2026-11-21T000000Z");
        assert_eq!(key_part(&NaiveDate::from_ymd_opt(-44, 3, 15).unwrap()), "-0044-03-15");
        assert_eq!(key_part(&NaiveDate::from_ymd_opt(0, 1, 1).unwrap()), "0000-01-01");
        assert_eq!(key_part(&NaiveDate::from_ymd_opt(12026, 1, 1).unwrap()), "12026-01-01");
        assert_eq!(key_part(&Weekday::Sun), "7");
    }

    #[test]
    fn a_leap_second_is_none_of_its_neighbours() {
        let at = |second, nanosecond| NaiveTime::from_hms_nano_opt(23, 59, second, nanosecond).unwrap();
        assert_eq!(key_part(&at(59, 1_500_000_000)), "235959L.5");
        assert_ne!(key_part(&at(59, 1_000_000_000)), key_part(&at(59, 0)));
    }
}
