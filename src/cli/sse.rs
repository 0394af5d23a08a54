//! Server-sent events: bytes in, events out. Knows nothing of HTTP or of what the events mean.

/// One line of a stream may be this long; a longer one ends the stream.
const LINE_LIMIT: usize = 1024 * 1024;

/// The data of one event (its lines joined), which is all the CLI looks at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub data: String,
}

/// A line without an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Keeps what came in of an event so far.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Option<String>,
}

impl Parser {
    /// Takes the next bytes and gives the events that they complete. Comments (keep-alives) give none.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() + self.data.as_ref().map_or(0, String::len) >= LINE_LIMIT {
                    return Err(TooLong);
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                events.extend(self.data.take().map(|data| Event { data }));
            } else if let Some(value) = line.strip_prefix("data:") {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let stream =
            b": hello\n\nevent: agent\nid: 7\ndata: {\"a\":\ndata: 1}\r\n\r\ndata:x\n\ndata: unfinished";
        let wanted = vec![Event { data: "{\"a\":\n1}".into() }, Event { data: "x".into() }];
        for cut in 0..stream.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&stream[..cut]).unwrap();
            events.extend(parser.push(&stream[cut..]).unwrap());
            assert_eq!(events, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; LINE_LIMIT + 1]), Err(TooLong));
    }
}
