//! The bytes of an HTTP/1.1 answer, as far as the load needs them: status, head and a body whose length is told.

use memchr::memmem;

/// What the beginning of some bytes holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// An answer, and how many bytes it took.
    Whole { status: u16, head: &'a [u8], body: &'a [u8], length: usize },
    /// It is not complete yet.
    Partial,
    /// No answer this client understands: chunked, or no HTTP.
    Broken,
}

/// The first answer of a server's bytes.
pub(crate) fn take(bytes: &[u8]) -> Answer<'_> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Answer::Partial };
    let head = &bytes[..end];
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let Some(status) = status else { return Answer::Broken };
    let start = end + 4;
    let length = match status {
        100..=199 | 204 | 304 => 0,
        _ => match header(head, "content-length").and_then(|value| value.parse().ok()) {
            Some(length) => length,
            None => return Answer::Broken,
        },
    };
    match bytes.get(start..start + length) {
        Some(body) => Answer::Whole { status, head, body, length: start + length },
        None => Answer::Partial,
    }
}

/// The value of a header of an answer's head.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .find_map(|(found, value)| found.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a:1\"\r\n\r\nhelloHTTP/1.1 3";
        let Answer::Whole { status, head, body, length } = take(bytes) else { panic!("not whole") };
        assert_eq!((status, body, length), (200, &b"hello"[..], bytes.len() - 10));
        assert_eq!(header(head, "etag"), Some("\"a:1\""));
        assert_eq!(header(head, "location"), None);
        assert_eq!(take(&bytes[..length - 1]), Answer::Partial);
        assert_eq!(take(&bytes[..20]), Answer::Partial);
    }

    #[test]
    fn what_has_no_body_needs_no_length() {
        assert!(matches!(take(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Answer::Whole { status: 304, length: 29, .. }));
        assert!(matches!(take(b"HTTP/1.1 101 Switching Protocols\r\n\r\nxx"), Answer::Whole { status: 101, .. }));
        assert_eq!(take(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Answer::Broken);
    }
}
