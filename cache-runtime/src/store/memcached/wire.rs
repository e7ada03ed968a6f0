//! The meta protocol, as much of it as is used: commands as they are sent, and answers as they are read.
//!
//! Every command carries a number that the answer repeats, so that an answer is never taken for that of another command. What reads answers believes nothing: not
//! a length, not a number. Keys are those of [`Keys`](super::keys::Keys), which fit on a line as they are.
//!
//! This is written here and not taken from a client's crate because all it needs is below: a line with a few numbers is written into the buffer that is sent, and read where it arrived, without a string
//! and a list for each flag.

use std::io::Write;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;

/// Commands that are sent together.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) bytes: Vec<u8>,
    /// The number of the first. The others count on.
    pub(super) first: u32,
    pub(super) count: u32,
}

/// When a value may be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    /// There is nothing.
    Absent,
    /// What is there has this number.
    Cas(u64),
}

/// The answer to one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) value: Bytes,
    pub(super) cas: u64,
    /// What is left of its life, in seconds; -1 if that is for ever.
    pub(super) left: i64,
    pub(super) flags: u32,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Done, or there.
    Well,
    /// There is nothing.
    Absent,
    /// Something else is there.
    Other,
    /// The server says that it does not do it.
    Refused(String),
}

/// What came is no answer to what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Nonsense;

impl Commands {
    /// Numbers its commands from `first` on.
    pub(super) fn from(first: u32) -> Self {
        Self { bytes: Vec::new(), first, count: 0 }
    }

    /// Reads a value and its number, how long it has to live, and of what kind it is.
    pub(super) fn get(&mut self, key: &str) {
        self.command("mg", key, format_args!(" v c t f"));
    }

    /// Reads a value and its number, and no more.
    pub(super) fn get_value(&mut self, key: &str) {
        self.command("mg", key, format_args!(" v c"));
    }

    /// The same as [`get`](Self::get) without the value.
    pub(super) fn look(&mut self, key: &str) {
        self.command("mg", key, format_args!(" c t f"));
    }

    /// Lets a value live until `expiry`, and says of what kind it is.
    pub(super) fn touch(&mut self, key: &str, expiry: Expiry) {
        self.command("mg", key, format_args!(" c t f T{}", expiry.0));
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8], kind: u32, expiry: Expiry, condition: Condition) {
        let (length, expiry) = (value.len(), expiry.0);
        match condition {
            Condition::Absent => self.command("ms", key, format_args!(" {length} ME T{expiry} F{kind}")),
            Condition::Cas(cas) => self.command("ms", key, format_args!(" {length} C{cas} T{expiry} F{kind}")),
        }
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Removes what has this number, or whatever there is.
    pub(super) fn delete(&mut self, key: &str, cas: Option<u64>) {
        match cas {
            Some(cas) => self.command("md", key, format_args!(" C{cas}")),
            None => self.command("md", key, format_args!("")),
        }
    }

    fn command(&mut self, name: &str, key: &str, rest: std::fmt::Arguments<'_>) {
        let number = self.first.wrapping_add(self.count);
        self.count += 1;
        // A buffer in memory takes what is written.
        let _ = write!(self.bytes, "{name} {key}{rest} O{number}\r\n");
    }
}

/// Until when something lives: so many seconds, or the time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expiry(u64);

impl Expiry {
    /// `life` from now on, and up to two seconds more: the server counts whole seconds, and the first is none.
    pub(super) fn after(life: std::time::Duration, now: super::items::Millis) -> Self {
        let seconds = life.as_secs().saturating_add(u64::from(life.subsec_nanos() > 0)).saturating_add(1);
        // More than thirty days are taken for the time of day.
        let seconds = if seconds > THIRTY_DAYS { (now.0 / 1000).saturating_add(seconds) } else { seconds };
        Self(seconds.min(LATEST))
    }
}

const THIRTY_DAYS: u64 = 60 * 60 * 24 * 30;
/// The server keeps seconds in 32 bits.
const LATEST: u64 = i32::MAX as u64;

/// Takes the next answer from `buffer`, which is to have `number`; `None` if not all of it is there.
pub(super) fn answer(buffer: &mut BytesMut, number: u32) -> Result<Option<Answer>, Nonsense> {
    let Some(end) = buffer.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n') else {
        return if buffer.len() < LONGEST_LINE { Ok(None) } else { Err(Nonsense) };
    };
    let line = buffer[..end].strip_suffix(b"\r").ok_or(Nonsense)?;
    let (mut answer, length) = header(line, number)?;
    let Some(length) = length else {
        buffer.advance(end + 1);
        return Ok(Some(answer));
    };
    let whole = end + 1 + length + 2;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    if &buffer[whole - 2..whole] != b"\r\n" {
        return Err(Nonsense);
    }
    let mut taken = buffer.split_to(whole).freeze();
    taken.advance(end + 1);
    taken.truncate(length);
    answer.value = taken;
    Ok(Some(answer))
}

/// What the line says, and how long the value is that follows it.
fn header(line: &[u8], number: u32) -> Result<(Answer, Option<usize>), Nonsense> {
    let (code, mut rest) = word(line);
    let mut answer = Answer { outcome: Outcome::Well, value: Bytes::new(), cas: 0, left: -1, flags: 0 };
    let mut length = None;
    answer.outcome = match code {
        b"HD" => Outcome::Well,
        b"VA" => {
            let (size, flags) = word(rest);
            rest = flags;
            length = Some(decimal(size).and_then(|size| usize::try_from(size).ok()).ok_or(Nonsense)?);
            Outcome::Well
        }
        b"EN" | b"NF" => Outcome::Absent,
        b"NS" | b"EX" => Outcome::Other,
        b"SERVER_ERROR" | b"CLIENT_ERROR" | b"ERROR" => {
            let said = if rest.is_empty() { line } else { rest };
            answer.outcome = Outcome::Refused(said.escape_ascii().take(LONGEST_REASON).map(char::from).collect());
            return Ok((answer, None));
        }
        _ => return Err(Nonsense),
    };
    if length.is_some_and(|length| length > LONGEST_VALUE) {
        return Err(Nonsense);
    }
    let mut numbered = None;
    while !rest.is_empty() {
        let (flag, next) = word(rest);
        rest = next;
        let Some((&name, value)) = flag.split_first() else { return Err(Nonsense) };
        match name {
            b'c' => answer.cas = decimal(value).ok_or(Nonsense)?,
            b'f' => answer.flags = decimal(value).and_then(|flags| u32::try_from(flags).ok()).ok_or(Nonsense)?,
            b't' if value == b"-1" => answer.left = -1,
            b't' => answer.left = decimal(value).and_then(|left| i64::try_from(left).ok()).ok_or(Nonsense)?,
            b'O' => numbered = Some(decimal(value).ok_or(Nonsense)?),
            // What is known of the value besides, such as that somebody is refreshing it.
            _ => {}
        }
    }
    // Of what is not there, servers before 1.6.10 say no number.
    match numbered {
        Some(said) if said != u64::from(number) => Err(Nonsense),
        None if answer.outcome == Outcome::Well => Err(Nonsense),
        _ => Ok((answer, length)),
    }
}

/// The first word, and what is behind it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b' ') {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => (line, &[]),
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digit = |number: u64, &digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, digit)).flatten()
}

const LONGEST_LINE: usize = 2048;
const LONGEST_REASON: usize = 200;
/// The most that a server can be told to keep in one piece.
const LONGEST_VALUE: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::items::Millis;
    use super::*;

    fn parsed(text: &[u8], number: u32) -> Result<Option<Answer>, Nonsense> {
        answer(&mut BytesMut::from(text), number)
    }

    fn outcome(text: &[u8]) -> Outcome {
        parsed(text, 7).unwrap().unwrap().outcome
    }

    #[test]
    fn commands_are_numbered_lines() {
        let mut commands = Commands::from(u32::MAX);
        commands.get("k");
        commands.set("k", b"abc", 3, Expiry(5), Condition::Cas(9));
        commands.delete("k", None);
        let expected = format!("mg k v c t f O{}\r\nms k 3 C9 T5 F3 O0\r\nabc\r\nmd k O1\r\n", u32::MAX);
        assert_eq!(String::from_utf8(commands.bytes).unwrap(), expected);
    }

    #[test]
    fn an_answer_is_read_when_all_of_it_is_there() {
        let whole = b"VA 5 c12 t-1 f3 s5 O7\r\na\r\nbc\r\nHD O8\r\n";
        for end in 0..whole.len() - 7 {
            assert_eq!(parsed(&whole[..end], 7), Ok(None), "{end}");
        }
        let mut buffer = BytesMut::from(&whole[..]);
        let first = answer(&mut buffer, 7).unwrap().unwrap();
        assert_eq!((&first.value[..], first.cas, first.left, first.flags), (&b"a\r\nbc"[..], 12, -1, 3));
        assert_eq!(answer(&mut buffer, 8).unwrap().unwrap().outcome, Outcome::Well);
        assert!(buffer.is_empty());
    }

    #[test]
    fn outcomes_are_told_apart() {
        assert_eq!(outcome(b"EN\r\n"), Outcome::Absent);
        assert_eq!(outcome(b"NF O7\r\n"), Outcome::Absent);
        assert_eq!(outcome(b"NS O7\r\n"), Outcome::Other);
        assert_eq!(outcome(b"EX O7\r\n"), Outcome::Other);
        assert_eq!(outcome(b"SERVER_ERROR out of memory\r\n"), Outcome::Refused("out of memory".into()));
        assert_eq!(outcome(b"ERROR\r\n"), Outcome::Refused("ERROR".into()));
    }

    #[test]
    fn the_answer_to_another_command_is_none() {
        for text in ["HD O8\r\n", "HD\r\n", "VA 1 c1\r\na\r\n", "EN O8\r\n", "NS O6\r\n"] {
            assert_eq!(parsed(text.as_bytes(), 7), Err(Nonsense), "{text}");
        }
    }

    #[test]
    fn lengths_and_numbers_are_not_believed() {
        let odd = [
            "VA -1 O7\r\n",
            "VA 99999999999 O7\r\n",
            "VA 18446744073709551616 O7\r\n",
            "VA O7\r\n",
            "VA 1 O7\r\nabc",
            "HD O7\n",
            "HD cx O7\r\n",
            "HD f4294967296 O7\r\n",
            "HD  O7\r\n",
            "-ERR unknown command\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ];
        for text in odd {
            assert_eq!(parsed(text.as_bytes(), 7), Err(Nonsense), "{text}");
        }
        assert_eq!(parsed(&[b'x'; LONGEST_LINE], 7), Err(Nonsense));
    }

    #[test]
    fn lives_are_never_shorter_and_never_taken_for_the_time_of_day() {
        let now = Millis(1_700_000_000_000);
        let after = |millis| Expiry::after(Duration::from_millis(millis), now).0;
        assert_eq!((after(0), after(1), after(1000), after(1001)), (1, 2, 2, 3));
        assert_eq!(after(THIRTY_DAYS * 1000 - 1000), THIRTY_DAYS);
        assert_eq!(after(THIRTY_DAYS * 1000), 1_700_000_000 + THIRTY_DAYS + 1);
        assert_eq!(Expiry::after(Duration::MAX, now).0, LATEST);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), code in prop::sample::select(vec!["", "VA ", "HD ", "VA 3 c1 O7\r\n"])) {
            let mut buffer = BytesMut::from(&[code.as_bytes(), &bytes].concat()[..]);
            while let Ok(Some(_)) = answer(&mut buffer, 7) {}
        }

        #[test]
        fn a_value_of_any_bytes_is_read_back(value in prop::collection::vec(any::<u8>(), 0..200), cas: u64, flags: u32, number: u32) {
            let text = [format!("VA {} c{cas} f{flags} O{number}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
            let read = parsed(&text, number).unwrap().unwrap();
            prop_assert_eq!((&read.value[..], read.cas, read.flags), (&value[..], cas, flags));
        }
    }
}
