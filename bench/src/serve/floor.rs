//! The floor: the least that can be done for a message, one bare `send` of one ready frame for each socket of its room,
//! and for a poll, one ready answer. One thread, no batches, no limits, nobody is asked who they are.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use ring::digest;

use crate::Failure;
use crate::load::frames;

const LISTENER: Token = Token(usize::MAX);
const ACCEPT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

struct Socket {
    stream: TcpStream,
    upgraded: bool,
    unread: Vec<u8>,
    /// What the kernel did not take, for the time when it does.
    unsent: Vec<u8>,
}

#[derive(Default)]
struct Floor {
    sockets: Vec<Option<Socket>>,
    rooms: HashMap<String, Vec<usize>>,
}

pub(super) fn serve() -> Result<(), Failure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    super::listening(listener.local_addr()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor::default();
    let mut scratch = vec![0; 64 << 10];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener, &poll)?,
                Token(number) => {
                    if event.is_writable() {
                        floor.flush(number);
                    }
                    if event.is_readable() {
                        floor.read(number, &mut scratch);
                    }
                }
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<(), Failure> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.sockets.len());
            poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.sockets.push(Some(Socket { stream, upgraded: false, unread: Vec::new(), unsent: Vec::new() }));
        }
    }

    fn read(&mut self, number: usize, scratch: &mut [u8]) {
        loop {
            let Some(socket) = &mut self.sockets[number] else { return };
            let length = match socket.stream.read(scratch) {
                Ok(0) => 0,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => 0,
            };
            if length == 0 {
                self.sockets[number] = None;
                return;
            }
            let mut whole = std::mem::take(&mut socket.unread);
            whole.extend_from_slice(&scratch[..length]);
            let used = self.heard(number, &whole);
            whole.drain(..used);
            if let Some(socket) = &mut self.sockets[number]
                && !whole.is_empty()
            {
                socket.unread = whole;
            }
            if length < scratch.len() {
                return;
            }
        }
    }

    /// Does what is complete of these bytes, and returns how many they were.
    fn heard(&mut self, number: usize, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some(socket) = &mut self.sockets[number] else { return bytes.len() };
            if socket.upgraded {
                let Some((payload, length)) = client_frame(rest) else { return used };
                used += length;
                self.publish(&payload);
            } else {
                let Some(end) = memmem::find(rest, b"\r\n\r\n") else { return used };
                self.request(number, &rest[..end]);
                used += end + 4;
            }
        }
    }

    fn request(&mut self, number: usize, head: &[u8]) {
        let Some(socket) = &mut self.sockets[number] else { return };
        let Some(at) = memmem::find(head, b"Sec-WebSocket-Key: ") else {
            let answer = format!("HTTP/1.1 304 Not Modified\r\netag: {}\r\n\r\n", super::UNCHANGED);
            return put(socket, answer.as_bytes());
        };
        let key = head[at + 19..].split(|byte| *byte == b'\r').next().unwrap_or_default();
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPT].concat());
        let accept = STANDARD.encode(hash);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        put(socket, answer.as_bytes());
        socket.upgraded = true;
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if let Some(room) = String::from_utf8_lossy(path).strip_prefix("/sub/") {
            self.rooms.entry(room.to_owned()).or_default().push(number);
        }
    }

    fn publish(&mut self, text: &[u8]) {
        let Some((room, payload)) = std::str::from_utf8(text).ok().and_then(|text| text.split_once(' ')) else {
            return;
        };
        let frame = frames::ready(payload.as_bytes());
        for number in self.rooms.get(room).into_iter().flatten() {
            if let Some(socket) = &mut self.sockets[*number] {
                put(socket, &frame);
            }
        }
    }

    fn flush(&mut self, number: usize) {
        let Some(socket) = &mut self.sockets[number] else { return };
        if !socket.unsent.is_empty() {
            let waiting = std::mem::take(&mut socket.unsent);
            put(socket, &waiting);
        }
    }
}

fn put(socket: &mut Socket, bytes: &[u8]) {
    let sent = if socket.unsent.is_empty() { send(&mut socket.stream, bytes).unwrap_or(bytes.len()) } else { 0 };
    socket.unsent.extend_from_slice(&bytes[sent..]);
}

/// How many bytes the kernel took; none of them is an answer, too.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// The payload of a client's frame, and the bytes it took.
fn client_frame(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let second = *bytes.get(1)?;
    let (head, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let mask = bytes.get(head..head + 4)?;
    let masked = bytes.get(head + 4..head + 4 + length)?;
    if mask == [0; 4] {
        return Some((masked.to_vec(), head + 4 + length));
    }
    let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((payload, head + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_frame_is_unmasked_once_it_is_whole() {
        let bytes = b"\x81\x83\x01\x02\x03\x04\x60\x60\x60rest";
        assert_eq!(client_frame(bytes), Some((b"abc".to_vec(), 9)));
        assert_eq!(client_frame(&bytes[..8]), None);
        let long = frames::text(&[b'x'; 300]);
        assert_eq!(client_frame(&long), Some((vec![b'x'; 300], long.len())));
    }
}
