# `just` alone lists what there is.
_list:
    @just --list --unsorted

# Run the service on this computer, with its page, on port 8080
dev *flags:
    cargo run -- {{ flags }}

# Everything that must be green: formatting, lints, all tests
test:
    tests/run

# The Rust tests whose names contain this
only name:
    cargo test -- {{ name }}

# The examples of docs/PROTOCOL.md, against a server
protocol:
    cargo test --test it -- protocol::

lint:
    cargo fmt --check
    cargo clippy --workspace -- -D warnings
    cargo clippy --workspace --all-targets --features tidings/otlp -- -D warnings

fmt:
    cargo fmt

# Licences, advisories and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny check

# Measure beside the floor and other servers; what, and how: bench/README.md
bench *flags:
    cargo build --release --workspace
    target/release/tidings-bench {{ flags }}

# Draw docs/chat.png anew from the running page
picture:
    cargo build
    cd tests/browser && npm ci && node picture.mjs
