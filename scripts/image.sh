#!/usr/bin/env bash
# Builds the container image: the program `pogo`, linked statically, and nothing else. Prints the image's tag.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $(uname -s) != Linux ]]; then
    echo "the image holds a program for Linux, and this script builds it on Linux only" >&2
    exit 2
fi

tag=pogo:local
context="${CARGO_TARGET_DIR:-target}/image"
program=$(scripts/program.sh)
mkdir -p "$context"
cp "$program" "$context/pogo"

# The image says what it was built from; one that is up to date is left alone.
content=$(cat docker/Dockerfile "$context/pogo" | sha256sum | cut -d ' ' -f 1)
present=$(docker image inspect --format '{{index .Config.Labels "pogo.content"}}' "$tag" 2>/dev/null) || true
if [[ $present != "$content" ]]; then
    docker build --quiet --file docker/Dockerfile --label "pogo.content=$content" --tag "$tag" "$context" >&2
    # The one that this replaces has no name any more.
    docker image prune --force --filter label=pogo.content >/dev/null
fi
echo "$tag"
