//! Sessions of a Next.js application: what NextAuth v4 and Auth.js v5 keep in their cookie, a JWE (RFC 7516) under a
//! key that both derive from the application's secret. Keys are derived once, when the service starts. A session is
//! its user's, never the application's own token.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{aead, digest, hkdf, hmac};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The cookies in which these libraries keep a session, the likeliest first: `__Secure-` is of a page by https, and a
/// cookie of v4 may be left over in an application that moved to v5.
pub(super) const COOKIES: [&str; 4] = [
    "__Secure-authjs.session-token",
    "authjs.session-token",
    "__Secure-next-auth.session-token",
    "next-auth.session-token",
];
/// Those of them whose name goes into the key.
const V5: usize = 2;

const GCM_TAG_BYTES: usize = 16;
const MAC_KEY_BYTES: usize = 32;
const CBC_TAG_BYTES: usize = 32;

/// The keys of sessions.
pub(super) struct SessionKeys {
    v4: Vec<aead::LessSafeKey>,
    v5: Vec<CbcKey>,
}

/// A key of A256CBC-HS512 (RFC 7518, section 5.2.5): one part for the MAC, the other for the text.
struct CbcKey {
    cookie: String,
    /// The thumbprint (RFC 7638), which Auth.js puts into the header so that the key need not be guessed.
    id: String,
    mac: hmac::Key,
    cipher: [u8; 32],
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    kid: Option<String>,
    zip: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
}

impl SessionKeys {
    /// The keys of these secrets; `cookie` is one of the application's own naming.
    pub(super) fn derive(secrets: &[String], cookie: Option<&str>) -> Self {
        let cookies = || cookie.into_iter().chain(COOKIES[..V5].iter().copied());
        let v5 = |secret: &String| cookies().map(|name| CbcKey::derive(secret, name)).collect::<Vec<_>>();
        Self { v4: secrets.iter().map(|secret| gcm_key(secret)).collect(), v5: secrets.iter().flat_map(v5).collect() }
    }

    /// What a session says, if one of the keys opens it; `cookie` is what it came in, if it did.
    pub(super) fn open(&self, token: &str, cookie: Option<&str>) -> Option<Vec<u8>> {
        let mut parts = token.split('.');
        // Without an encrypted key: the key is agreed on ("dir").
        let [head, "", iv, text, tag] = std::array::from_fn(|_| parts.next().unwrap_or("?")) else { return None };
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let header: Header = serde_json::from_slice(&bytes(head)?).ok()?;
        if parts.next().is_some() || header.alg != "dir" || header.zip.is_some() || header.crit.is_some() {
            return None;
        }
        let (iv, text, tag) = (bytes(iv)?, bytes(text)?, bytes(tag)?);
        match header.enc.as_str() {
            "A256GCM" => self.v4.iter().find_map(|key| open_gcm(key, head, &iv, &text, &tag)),
            "A256CBC-HS512" => {
                let of_cookie = |key: &&CbcKey| cookie.is_none_or(|name| key.cookie == name);
                let of_header = |key: &&CbcKey| header.kid.as_ref().is_none_or(|id| key.id == *id);
                let mut keys = self.v5.iter().filter(of_cookie).filter(of_header);
                keys.find_map(|key| key.open(head, &iv, &text, &tag))
            }
            _ => None,
        }
    }
}

impl CbcKey {
    fn derive(secret: &str, cookie: &str) -> Self {
        let info = format!("Auth.js Generated Encryption Key ({cookie})");
        let key: [u8; 64] = derive(secret, cookie, &info);
        let jwk = format!(r#"{{"k":"{}","kty":"oct"}}"#, URL_SAFE_NO_PAD.encode(key));
        let mut cipher = [0; 32];
        cipher.copy_from_slice(&key[MAC_KEY_BYTES..]);
        Self {
            cookie: cookie.to_owned(),
            id: URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA512, jwk.as_bytes())),
            mac: hmac::Key::new(hmac::HMAC_SHA512, &key[..MAC_KEY_BYTES]),
            cipher,
        }
    }

    fn open(&self, head: &str, iv: &[u8], text: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
        let mut mac = hmac::Context::with_key(&self.mac);
        for part in [head.as_bytes(), iv, text, &(head.len() as u64 * 8).to_be_bytes()] {
            mac.update(part);
        }
        let made = mac.sign();
        // Half of a MAC, which `ring` does not compare; the MACs of both halves it does, in constant time.
        let made = hmac::sign(&self.mac, &made.as_ref()[..CBC_TAG_BYTES]);
        hmac::verify(&self.mac, tag, made.as_ref()).ok()?;
        let iv: &[u8; 16] = iv.try_into().ok()?;
        cbc::Decryptor::<Aes256>::new(&self.cipher.into(), iv.into()).decrypt_padded_vec::<Pkcs7>(text).ok()
    }
}

fn gcm_key(secret: &str) -> aead::LessSafeKey {
    let key: [u8; 32] = derive(secret, "", "NextAuth.js Generated Encryption Key");
    aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &key).expect("AES-256 has keys of 32 bytes"))
}

fn open_gcm(key: &aead::LessSafeKey, head: &str, iv: &[u8], text: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
    let nonce = aead::Nonce::try_assume_unique_for_key(iv).ok()?;
    if tag.len() != GCM_TAG_BYTES {
        return None;
    }
    let mut sealed = [text, tag].concat();
    Some(key.open_in_place(nonce, aead::Aad::from(head.as_bytes()), &mut sealed).ok()?.to_vec())
}

/// HKDF with SHA-256 (RFC 5869).
fn derive<const N: usize>(secret: &str, salt: &str, info: &str) -> [u8; N] {
    struct Bytes(usize);
    impl hkdf::KeyType for Bytes {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut key = [0; N];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt.as_bytes()).extract(secret.as_bytes());
    let info = [info.as_bytes()];
    let expanded = extracted.expand(&info, Bytes(N)).and_then(|expanded| expanded.fill(&mut key));
    expanded.expect("HKDF makes keys of up to 8160 bytes");
    key
}
