//! Text frames as bytes on a socket (RFC 6455, section 5.2): the service's are never masked and never in pieces.

use tokio_tungstenite::tungstenite::Bytes;

use super::Frame;

/// Whole frames, ready to be written, shared by all sockets they go to.
pub type Wire = Bytes;

/// FIN and the opcode of a text.
const TEXT: u8 = 0x81;

/// Puts a frame behind what is there.
pub fn put(frame: &Frame, wire: &mut Vec<u8>) {
    let bytes = frame.as_bytes();
    wire.reserve(10 + bytes.len());
    wire.push(TEXT);
    // The shortest of three forms; the second byte says which.
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length @ ..=125), _) => wire.push(length),
        (_, Ok(length)) => {
            wire.push(126);
            wire.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            wire.push(127);
            wire.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        }
    }
    wire.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::protocol::frame::FrameSocket;

    use super::*;

    #[test]
    fn frames_of_every_length_are_read_as_they_were_written() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
        let mut wire = Vec::new();
        for length in lengths {
            put(&Frame::from("x".repeat(length)), &mut wire);
        }
        let mut socket = FrameSocket::new(Cursor::new(wire));
        for length in lengths {
            let frame = socket.read(None).expect("a frame").expect("not the end");
            assert!(frame.header().is_final && frame.header().mask.is_none(), "{length}");
            assert_eq!(frame.into_text().expect("a text"), "x".repeat(length));
        }
        assert!(socket.read(None).expect("the end").is_none(), "and nothing follows");
    }
}
