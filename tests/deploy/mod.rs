//! How it is deployed: what is shipped for containers, Kubernetes and systemd is valid by their own tools, agrees with
//! what the program knows, and the program runs as it says.

mod image;
mod manifests;
mod network;
mod page;
mod rendered;
mod running;
mod sandbox;
mod systemd;
mod unit;

use base64::Engine;

/// What is in a Secret.
fn decoded(data: &str) -> String {
    // Long ones come in lines.
    let data: String = data.split_whitespace().collect();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap()
}
