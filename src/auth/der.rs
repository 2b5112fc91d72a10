//! Reads a public key in DER (`SubjectPublicKeyInfo`, RFC 5280), of the four kinds that sign tokens. No more of ASN.1
//! than that: whatever else a file holds is refused.

use jsonwebtoken::DecodingKey;

use super::keys::{Kind, rsa};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// What the algorithm's identifier is, whole, of each kind.
const IDENTIFIERS: [(Kind, &[u8]); 4] = [
    (Kind::Rsa, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"),
    (Kind::P256, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
    (Kind::P384, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"),
    (Kind::Ed25519, b"\x06\x03\x2b\x65\x70"),
];

/// The key of a `SubjectPublicKeyInfo`, if it is one of these.
pub(super) fn public_key(der: &[u8]) -> Option<(Kind, DecodingKey)> {
    let whole = only(SEQUENCE, der)?;
    let (identifier, rest) = value(SEQUENCE, whole)?;
    let (kind, _) = IDENTIFIERS.iter().find(|(_, known)| *known == identifier)?;
    // The first byte counts the bits that are left over at the end.
    let bits = only(BIT_STRING, rest)?.strip_prefix(&[0])?;
    let key = match kind {
        Kind::Rsa => {
            let numbers = only(SEQUENCE, bits)?;
            let (modulus, rest) = value(INTEGER, numbers)?;
            rsa(modulus, only(INTEGER, rest)?)?
        }
        Kind::P256 => point(bits, 32)?,
        Kind::P384 => point(bits, 48)?,
        Kind::Ed25519 => ed25519(bits)?,
        Kind::Secret => return None,
    };
    Some((*kind, key))
}

/// A point of a curve whose coordinates have this many bytes; not compressed.
pub(super) fn point(bytes: &[u8], width: usize) -> Option<DecodingKey> {
    (bytes.len() == 1 + 2 * width && bytes[0] == 4).then(|| DecodingKey::from_ec_der(bytes))
}

/// A point of the curve of Ed25519.
pub(super) fn ed25519(bytes: &[u8]) -> Option<DecodingKey> {
    (bytes.len() == 32).then(|| DecodingKey::from_ed_der(bytes))
}

/// The content of the one value that these bytes are.
fn only(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    value(tag, bytes).filter(|(_, rest)| rest.is_empty()).map(|(content, _)| content)
}

/// The content of the first value, and what follows it.
fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Lengths of up to two bytes; a key is no longer.
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |sum, digit| (sum << 8) + usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}
