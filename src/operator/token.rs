//! `token`: a token as the application would sign it, for trying things out.

use serde_json::json;

use crate::auth;
use crate::config::{Config, ConfigError, Identity, TokenArgs};

/// The token, signed with the secret of the settings.
pub(super) fn token(config: &Config, args: &TokenArgs) -> Result<String, ConfigError> {
    let unsigned = || ConfigError::new("JWT_SECRET", "is needed to sign a token with");
    let Identity::Tokens(tokens) = config.identity()? else { return Err(unsigned()) };
    let mut claims = json!({ "exp": auth::in_days(args.days) });
    let scope = args.application.then(|| auth::application_scope().to_owned());
    let settings = &config.identity;
    for (claim, value) in [
        ("sub", &args.user),
        ("scope", &scope),
        (&settings.claim_name, &args.name),
        (&settings.claim_role, &args.role),
        ("iss", &tokens.issuer),
        ("aud", &tokens.audience),
    ] {
        if let Some(value) = value {
            claims[claim] = json!(value);
        }
    }
    auth::mint_for(&tokens, &claims).ok_or_else(unsigned)
}
