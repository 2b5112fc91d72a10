//! Keys, each with the algorithms it may verify. These are fixed when the key is read, by its kind, by the settings
//! and by what a key set says of it; a token's header can only name one of them.

use std::str::FromStr;

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

use super::der;
use crate::config::{ConfigError, Tokens};

/// The smallest modulus of an RSA key, in bits; `ring` verifies with no smaller one.
const RSA_BITS: usize = 2048;
/// And the largest.
const RSA_MOST_BITS: usize = 8192;

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A secret that both sides hold.
    Secret,
    /// RSA.
    Rsa,
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// The curve of Ed25519.
    Ed25519,
}

impl Kind {
    /// All algorithms of such keys; the first is the default.
    fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Secret => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            Self::Rsa => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::P256 => &[Algorithm::ES256],
            Self::P384 => &[Algorithm::ES384],
            Self::Ed25519 => &[Algorithm::EdDSA],
        }
    }
}

/// The algorithm of this name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    // The same by its newer name (RFC 9864).
    if name == "Ed25519" { Some(Algorithm::EdDSA) } else { Algorithm::from_str(name).ok() }
}

/// Which algorithms the settings accept.
#[derive(Debug, Clone)]
pub(super) struct Accepted(Option<Vec<Algorithm>>);

impl Accepted {
    /// Reads `JWT_ALGORITHMS`.
    pub(super) fn read(names: &[String]) -> Result<Self, ConfigError> {
        let mut accepted = Vec::new();
        for name in names {
            let unknown = || ConfigError::new("JWT_ALGORITHMS", format!("{name:?} is no algorithm, such as RS256"));
            accepted.push(algorithm(name).ok_or_else(unknown)?);
        }
        Ok(Self(Some(accepted).filter(|accepted| !accepted.is_empty())))
    }

    /// What a key of this kind may verify; `own` is what a key set says of it.
    pub(super) fn of(&self, kind: Kind, own: Option<Algorithm>) -> Vec<Algorithm> {
        let possible = kind.algorithms().iter().copied();
        match (&self.0, own) {
            (None, None) => possible.take(1).collect(),
            (None, Some(own)) => possible.filter(|algorithm| *algorithm == own).collect(),
            (Some(accepted), own) => possible
                .filter(|algorithm| accepted.contains(algorithm) && own.is_none_or(|own| *algorithm == own))
                .collect(),
        }
    }

    /// Refuses an algorithm that none of the keys of these kinds has.
    fn used_by(&self, kinds: &[Kind]) -> Result<(), ConfigError> {
        let used = |algorithm: &Algorithm| kinds.iter().any(|kind| kind.algorithms().contains(algorithm));
        match self.0.iter().flatten().find(|algorithm| !used(algorithm)) {
            Some(idle) => Err(ConfigError::new("JWT_ALGORITHMS", format!("there is no key for {idle:?}"))),
            None => Ok(()),
        }
    }
}

/// A key, and what it may verify.
pub(super) struct Key {
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    pub(super) fn new(algorithms: Vec<Algorithm>, key: DecodingKey) -> Self {
        super::provider::install();
        Self { algorithms, key }
    }

    /// Whether it may verify tokens of this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether it vouches for a message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.fits(algorithm)
            && crypto::verify(signature, message.as_bytes(), &self.key, algorithm).is_ok_and(|verified| verified)
    }
}

/// An RSA key, if its size is one that is verified with.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<DecodingKey> {
    let significant = modulus.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &modulus[first..]);
    let bits = significant.len() * 8 - significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let sound = (RSA_BITS..=RSA_MOST_BITS).contains(&bits) && !exponent.is_empty();
    sound.then(|| DecodingKey::from_rsa_raw_components(significant, exponent))
}

/// The keys that are set once: secrets, and public keys by file.
pub(super) fn fixed(tokens: &Tokens, accepted: &Accepted) -> Result<Vec<Key>, ConfigError> {
    let mut keys = Vec::new();
    let mut kinds = Vec::new();
    let mut add = |setting: &'static str, kind: Kind, key: DecodingKey| {
        let algorithms = accepted.of(kind, None);
        if algorithms.is_empty() {
            let detail = format!("lists no algorithm for the key of {setting}");
            return Err(ConfigError::new("JWT_ALGORITHMS", detail));
        }
        kinds.push(kind);
        keys.push(Key::new(algorithms, key));
        Ok(())
    };
    for secret in &tokens.secrets {
        add("JWT_SECRET", Kind::Secret, DecodingKey::from_secret(secret.as_bytes()))?;
    }
    for (kind, key) in tokens.public_keys.as_deref().map(public_keys).transpose()?.unwrap_or_default() {
        add("JWT_PUBLIC_KEY_FILE", kind, key)?;
    }
    if tokens.key_set.is_some() {
        let public = [Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519];
        if public.iter().all(|kind| accepted.of(*kind, None).is_empty()) {
            return Err(ConfigError::new("JWT_ALGORITHMS", "lists no algorithm for a key set"));
        }
        kinds.extend(public);
    }
    accepted.used_by(&kinds)?;
    Ok(keys)
}

/// The keys of a PEM file.
fn public_keys(pem: &str) -> Result<Vec<(Kind, DecodingKey)>, ConfigError> {
    let refused = |detail: &str| ConfigError::new("JWT_PUBLIC_KEY_FILE", detail);
    if pem.contains("PRIVATE KEY-----") {
        return Err(refused("holds a private key, which belongs to who signs; only its public key is needed here"));
    }
    let mut keys = Vec::new();
    for block in SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes()) {
        let block = block.map_err(|_| refused("is no PEM, or a broken one"))?;
        let unusable = "holds a key that is none of RSA (2048 to 8192 bits), P-256, P-384 and Ed25519";
        keys.push(der::public_key(&block).ok_or_else(|| refused(unusable))?);
    }
    if keys.is_empty() {
        return Err(refused("holds no `-----BEGIN PUBLIC KEY-----`"));
    }
    Ok(keys)
}
