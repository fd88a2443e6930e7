#!/usr/bin/env bash
# Builds the program `pogo` as it is released, and prints where it is. On Linux it is linked statically, so that it runs
# in an empty container.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

flags=(-C strip=debuginfo)
if [[ $(uname -s) == Linux ]]; then flags+=(-C target-feature=+crt-static); fi

# For reports: which commit this is, where it is one.
if [[ -z $(git status --porcelain 2>&1) ]]; then POGO_COMMIT=$(git rev-parse --short HEAD) && export POGO_COMMIT; fi

# Flags for the last step alone: with flags for all, everything below would be built for it alone.
cargo rustc --locked --quiet --release --package pogo-cli --bin pogo -- "${flags[@]}" >&2
echo "${CARGO_TARGET_DIR:-target}/release/pogo"
