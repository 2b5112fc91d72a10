//! Tokens as others make them, good and forged: signed with every kind of key, or sealed as a session of Next.js.
//! The keys are made anew in each run.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use ring::{aead, digest, hkdf, hmac, rsa};
use serde_json::{Value, json};

/// Whoever can sign.
pub(crate) enum Signer {
    Secret(Vec<u8>),
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Text as it stands in a token.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::Secret(secret.as_ref().to_vec())
    }

    /// The one RSA key of this run, because it takes long to make one and `ring` cannot.
    pub(crate) fn rsa() -> Self {
        static KEY: OnceLock<Vec<u8>> = OnceLock::new();
        let key = KEY.get_or_init(|| {
            let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"];
            let made = Command::new("openssl").args(arguments).stderr(Stdio::null()).output();
            made.expect("openssl makes RSA keys").stdout
        });
        // In one form or the other, by openssl's version.
        let pair = RsaKeyPair::from_pkcs8(key).or_else(|_| RsaKeyPair::from_der(key));
        Self::Rsa(Box::new(pair.expect("openssl has made an RSA key")))
    }

    pub(crate) fn p256() -> Self {
        Self::P256(curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    pub(crate) fn p384() -> Self {
        Self::P384(curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    pub(crate) fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// A token of this algorithm, with more in its header.
    pub(crate) fn sign(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let mut head = json!({ "alg": algorithm });
        for (name, value) in header.as_object().unwrap() {
            head[name] = value.clone();
        }
        self.sign_texts(algorithm, &head.to_string(), &claims.to_string())
    }

    /// The same of any texts, such as JSON that no library would write.
    pub(crate) fn sign_texts(&self, algorithm: &str, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(head), base64(claims));
        let signature = self.signature(algorithm, message.as_bytes());
        format!("{message}.{}", base64(signature))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let hash = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
            Self::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signed).unwrap();
                signed
            }
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public half in DER (`SubjectPublicKeyInfo`).
    pub(crate) fn der(&self) -> Vec<u8> {
        let (identifier, key): (&[u8], &[u8]) = match self {
            Self::Secret(_) => panic!("a secret has no public half"),
            Self::Rsa(key) => (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", key.public().as_ref()),
            Self::P256(key) => {
                let identifier = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
                (identifier, key.public_key().as_ref())
            }
            Self::P384(key) => {
                (b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22", key.public_key().as_ref())
            }
            Self::Ed25519(key) => (b"\x06\x03\x2b\x65\x70", key.public_key().as_ref()),
        };
        let bits = value(0x03, &[&[0], key].concat());
        value(0x30, &[value(0x30, identifier), bits].concat())
    }

    /// The same in PEM.
    pub(crate) fn pem(&self) -> String {
        let text = STANDARD.encode(self.der());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The public half as a JWK of this name.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let point = |key: &EcdsaKeyPair, curve: &str| {
            let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": base64(x), "y": base64(y), "kid": id })
        };
        match self {
            Self::Secret(secret) => json!({ "kty": "oct", "k": base64(secret), "kid": id }),
            Self::Rsa(key) => {
                let parts = rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "n": base64(parts.n), "e": base64(parts.e), "kid": id })
            }
            Self::P256(key) => point(key, "P-256"),
            Self::P384(key) => point(key, "P-384"),
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key()), "kid": id })
            }
        }
    }
}

fn curve(algorithm: &'static signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
}

/// A value in DER.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let low = |length: usize| u8::try_from(length & 0xff).unwrap();
    let head = match length {
        0..=0x7f => vec![tag, low(length)],
        0x80..=0xff => vec![tag, 0x81, low(length)],
        _ => vec![tag, 0x82, low(length >> 8), low(length)],
    };
    [&head, content].concat()
}

/// A session as NextAuth v4 keeps it.
pub(crate) fn seal_v4(secret: &str, claims: &Value) -> String {
    let key: [u8; 32] = derive(secret, "", "NextAuth.js Generated Encryption Key");
    let head = base64(r#"{"alg":"dir","enc":"A256GCM"}"#);
    let iv: [u8; 12] = random();
    let mut text = claims.to_string().into_bytes();
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &key).unwrap());
    let nonce = aead::Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(head.as_bytes()), &mut text).unwrap();
    format!("{head}..{}.{}.{}", base64(iv), base64(text), base64(tag))
}

/// A session as Auth.js v5 keeps it in this cookie.
pub(crate) fn seal_v5(secret: &str, cookie: &str, claims: &Value) -> String {
    let key: [u8; 64] = derive(secret, cookie, &format!("Auth.js Generated Encryption Key ({cookie})"));
    let thumbprint = digest::digest(&digest::SHA512, format!(r#"{{"k":"{}","kty":"oct"}}"#, base64(key)).as_bytes());
    let head = json!({ "alg": "dir", "enc": "A256CBC-HS512", "kid": base64(thumbprint) });
    seal_cbc(&key, &head, claims)
}

/// The same with any header.
pub(crate) fn seal_cbc(key: &[u8; 64], head: &Value, claims: &Value) -> String {
    let head = base64(head.to_string());
    let iv: [u8; 16] = random();
    let cipher: [u8; 32] = key[32..].try_into().unwrap();
    let encryptor = cbc::Encryptor::<Aes256>::new(&cipher.into(), &iv.into());
    let text = encryptor.encrypt_padded_vec::<Pkcs7>(claims.to_string().as_bytes());
    let length = (head.len() as u64 * 8).to_be_bytes();
    let mac = hmac::Key::new(hmac::HMAC_SHA512, &key[..32]);
    let tag = hmac::sign(&mac, &[head.as_bytes(), &iv, &text, &length].concat());
    format!("{head}..{}.{}.{}", base64(iv), base64(text), base64(&tag.as_ref()[..32]))
}

/// HKDF with SHA-256, as both libraries derive their keys.
pub(crate) fn derive<const N: usize>(secret: &str, salt: &str, info: &str) -> [u8; N] {
    struct Bytes(usize);
    impl hkdf::KeyType for Bytes {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut key = [0; N];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt.as_bytes()).extract(secret.as_bytes());
    extracted.expand(&[info.as_bytes()], Bytes(N)).unwrap().fill(&mut key).unwrap();
    key
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}
