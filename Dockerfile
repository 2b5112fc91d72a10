# docker build -t tidings:0.1.0 .

FROM rust:1.95-slim-trixie AS build
WORKDIR /build

# The dependencies first, with nothing of the service's own, so that a change in src/ does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
RUN mkdir -p src bench/src \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs bench/src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin tidings --features otlp

# The page, the client and the migrations end up in the binary.
COPY client client
COPY web web
COPY migrations migrations
COPY src src
# cargo goes by the time of change, and these files may be older than the ones they replace.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin tidings --features otlp \
    && mkdir /data

# Debian itself, because the check below and whoever looks inside need a shell; no package is added to it.
FROM debian:trixie-slim
LABEL org.opencontainers.image.title="Tidings" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# What TLS to PostgreSQL and Redis is checked against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/tidings /usr/local/bin/tidings
# The only place it writes to, and only without a DATABASE_URL: the default is ./data/tidings.db.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080
# The image has no curl; bash is part of Debian and opens connections itself.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["bash", "-c", "\
    exec 3<>/dev/tcp/127.0.0.1/${PORT:-8080} \
    && printf 'GET %s/healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' \"$BASE_PATH\" >&3 \
    && read -r status <&3 \
    && [[ $status == *' 200 '* ]]"]
ENTRYPOINT ["tidings"]
