//! Where one message of the Redis protocol ends and the next begins.

/// Cuts a stream of bytes into whole messages.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    rest: Vec<u8>,
    /// What came is no such stream, and is not cut any more.
    lost: bool,
}

impl Frames {
    /// Takes the next bytes, and returns the messages that they complete.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        if self.lost {
            return whole;
        }
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match end(&self.rest, at) {
                Ok(Some(end)) => {
                    whole.push(self.rest[at..end].to_vec());
                    at = end;
                }
                Ok(None) => break,
                Err(Nonsense) => {
                    self.lost = true;
                    break;
                }
            }
        }
        self.rest.drain(..at);
        whole
    }
}

/// It does not begin as a message does.
struct Nonsense;

/// Where the message ends that begins at `at`, or `None` if not all of it is there.
fn end(bytes: &[u8], at: usize) -> Result<Option<usize>, Nonsense> {
    // Before there is a whole line: what is no such stream may have none for long.
    if bytes.get(at).is_some_and(|kind| !b"+-:$*".contains(kind)) {
        return Err(Nonsense);
    }
    let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let (kind, text) = (bytes[at], &bytes[at + 1..at + line]);
    let after = at + line + 2;
    let number = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()).ok_or(Nonsense);
    match kind {
        b'+' | b'-' | b':' => Ok(Some(after)),
        b'$' => {
            let end = usize::try_from(number()?).map_or(after, |length| after + length + 2);
            Ok((end <= bytes.len()).then_some(end))
        }
        b'*' => {
            let mut at = after;
            for _ in 0..number()? {
                match end(bytes, at)? {
                    Some(next) => at = next,
                    None => return Ok(None),
                }
            }
            Ok(Some(at))
        }
        _ => Err(Nonsense),
    }
}
