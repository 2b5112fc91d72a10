//! The bytes of a WebSocket, as far as the load needs them: frames of a server are taken apart, frames of a client made.
//! Nothing is checked beyond what a wrong count would come from; fragments are refused, because no peer sends any.

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text,
    Close,
    Ping,
    Pong,
}

/// What the beginning of some bytes holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<'a> {
    /// A frame, and how many bytes it took.
    Frame(Opcode, &'a [u8], usize),
    /// The frame is not complete yet.
    Partial,
    /// No frame this client understands.
    Broken,
}

/// The first frame of a server's bytes.
pub(crate) fn take(bytes: &[u8]) -> Taken<'_> {
    let [first, second, ..] = *bytes else { return Taken::Partial };
    let opcode = match first {
        0x81 | 0x82 => Opcode::Text,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8a => Opcode::Pong,
        _ => return Taken::Broken,
    };
    let (head, length): (usize, usize) = match second {
        0..=125 => (2, usize::from(second)),
        126 => match bytes.get(2..4) {
            Some(&[a, b]) => (4, usize::from(u16::from_be_bytes([a, b]))),
            _ => return Taken::Partial,
        },
        127 => match bytes.get(2..10).and_then(|length| length.try_into().ok()) {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(length)).unwrap_or(usize::MAX)),
            None => return Taken::Partial,
        },
        _ => return Taken::Broken, // masked
    };
    match head.checked_add(length).and_then(|end| bytes.get(head..end)) {
        Some(payload) => Taken::Frame(opcode, payload, head + length),
        None => Taken::Partial,
    }
}

/// The head of an unmasked frame, as a server sends it.
pub(crate) fn head(first: u8, length: usize, mask: bool) -> Vec<u8> {
    let masked = if mask { 0x80 } else { 0 };
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => head.push(masked | short),
        (_, Ok(middle)) => {
            head.push(masked | 0x7e);
            head.extend(middle.to_be_bytes());
        }
        _ => {
            head.push(masked | 0x7f);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

/// A text frame of a client. Its mask is of zeros, so that nothing needs to be masked.
pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    masked(0x81, payload)
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(0x8a, payload)
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len(), true);
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A text frame of a server, ready to be sent.
pub(crate) fn ready(payload: &[u8]) -> Vec<u8> {
    let mut frame = head(0x81, payload.len(), false);
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_is_taken_whole_and_only_when_it_is_there() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = ready(&payload);
            let whole = bytes.len();
            bytes.extend(b"\x81\x01y");
            assert_eq!(take(&bytes), Taken::Frame(Opcode::Text, &payload, whole));
            for end in 0..whole.min(12) {
                assert_eq!(take(&bytes[..end]), Taken::Partial, "{end} of {length}");
            }
            assert_eq!(take(&bytes[..whole - 1]), Taken::Partial);
        }
    }

    #[test]
    fn what_no_server_sends_is_broken() {
        assert_eq!(take(&[0x01, 0x00]), Taken::Broken, "a fragment");
        assert_eq!(take(&text(b"masked")), Taken::Broken);
        assert_eq!(take(&[0xc1, 0x00]), Taken::Broken, "compressed");
    }

    #[test]
    fn control_frames_are_told_apart() {
        assert_eq!(take(b"\x89\x02hi"), Taken::Frame(Opcode::Ping, b"hi", 4));
        assert_eq!(take(b"\x88\x00"), Taken::Frame(Opcode::Close, b"", 2));
        assert_eq!(pong(b"hi"), b"\x8a\x82\0\0\0\0hi");
    }
}
