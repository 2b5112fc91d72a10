//! jsonwebtoken on `ring`: verifies HMAC, RSA, ECDSA and Ed25519, signs HMAC. A key verifies only algorithms of its
//! own family, so that none can be talked into the use of another.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature as schemes};
use signature::{Signer, Verifier};

static RING: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes it the process's provider. Doing so again changes nothing.
pub(super) fn install() {
    // An error says that it is installed already.
    let _ = RING.install_default();
}

struct Hmac {
    algorithm: Algorithm,
    key: hmac::Key,
}

/// A public key, and how it verifies.
struct Public {
    algorithm: Algorithm,
    scheme: Scheme,
}

enum Scheme {
    Rsa { parameters: &'static schemes::RsaParameters, n: Vec<u8>, e: Vec<u8> },
    Point { algorithm: &'static dyn schemes::VerificationAlgorithm, key: Vec<u8> },
}

impl Hmac {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Self, Error> {
        // The algorithm is the configured one; a key of another family would be a confusion of the two.
        if family != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        let hash = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        };
        Ok(Self { algorithm, key: hmac::Key::new(hash, secret) })
    }
}

impl Scheme {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        let parameters = match algorithm {
            Algorithm::RS256 => &schemes::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &schemes::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &schemes::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &schemes::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &schemes::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &schemes::RSA_PSS_2048_8192_SHA512,
            Algorithm::ES256 => return Self::point(&schemes::ECDSA_P256_SHA256_FIXED, key),
            Algorithm::ES384 => return Self::point(&schemes::ECDSA_P384_SHA384_FIXED, key),
            Algorithm::EdDSA => return Self::point(&schemes::ED25519, key),
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        };
        match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => Ok(Self::Rsa { parameters, n: n.clone(), e: e.clone() }),
            DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat.into()),
        }
    }

    fn point(algorithm: &'static dyn schemes::VerificationAlgorithm, key: &DecodingKey) -> Result<Self, Error> {
        Ok(Self::Point { algorithm, key: key.try_get_as_bytes()?.to_vec() })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that jsonwebtoken calls")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(Hmac::new(*algorithm, key.family(), key.as_bytes())?))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that jsonwebtoken calls")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    if key.family() == AlgorithmFamily::Hmac {
        return Ok(Box::new(Hmac::new(*algorithm, key.family(), key.try_get_as_bytes()?)?));
    }
    Ok(Box::new(Public { algorithm: *algorithm, scheme: Scheme::new(*algorithm, key)? }))
}

impl Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.key, message, signature).map_err(|_| signature::Error::new())
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match &self.scheme {
            Scheme::Rsa { parameters, n, e } => {
                schemes::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Scheme::Point { algorithm, key } => {
                schemes::UnparsedPublicKey::new(*algorithm, key).verify(message, signature)
            }
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
