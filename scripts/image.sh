#!/usr/bin/env bash
# Builds the container image: the program `pogo`, linked statically, and nothing else. Prints the image's tag.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $(uname -s) != Linux ]]; then
    echo "the image holds a program for Linux, and this script builds it on Linux only" >&2
    exit 2
fi

tag=pogo:local
built="${CARGO_TARGET_DIR:-target}/release/pogo"
context="${CARGO_TARGET_DIR:-target}/image"

# Flags for the last step alone, so every crate below is shared with other release builds of the program.
cargo rustc --locked --quiet --release --package pogo-cli --bin pogo -- \
    -C target-feature=+crt-static -C strip=debuginfo >&2
mkdir -p "$context"
cp "$built" "$context/pogo"

# The image says what it was built from; one that is up to date is left alone.
content=$(cat docker/Dockerfile "$context/pogo" | sha256sum | cut -d ' ' -f 1)
present=$(docker image inspect --format '{{index .Config.Labels "pogo.content"}}' "$tag" 2>/dev/null) || true
if [[ $present != "$content" ]]; then
    docker build --quiet --file docker/Dockerfile --label "pogo.content=$content" --tag "$tag" "$context" >&2
    # The one that this replaces has no name any more.
    docker image prune --force --filter label=pogo.content >/dev/null
fi
echo "$tag"
