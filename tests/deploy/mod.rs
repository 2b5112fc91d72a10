//! How it is deployed: what is shipped for containers, Kubernetes and systemd is valid by their own tools, agrees with
//! what the program knows, and the program runs as it says.

mod systemd;
mod unit;
