#!/usr/bin/env bash
# Gets the image of each server that the tests of stores run in containers, and prints a line for each: ETCD_IMAGE=...
# A second run finds what the first has made. Whoever has an image of his own names it in the variable of that name.
set -euo pipefail

# One line for each store: the variable | the image that is built here | official images, the first that comes is taken |
# packages of Debian | programs in them. Another store is another line.
STORES=(
    "ETCD_IMAGE|pogo-etcd:local|quay.io/coreos/etcd:v3.5.21 gcr.io/etcd-development/etcd:v3.5.21|etcd-server etcd-client|usr/bin/etcd usr/bin/etcdctl"
)
# What a local image holds besides, for whoever looks into a container: a shell.
SHELL_PACKAGE=busybox-static
# How long one pull may take.
PULL_SECONDS=${POGO_PULL_SECONDS:-60}

has_image() {
    docker image inspect "$1" >/dev/null 2>&1
}

# The first of the official images that is here, or that a registry gives.
official() {
    local image
    for image in "$@"; do
        if has_image "$image"; then echo "$image" && return; fi
    done
    for image in "$@"; do
        if timeout "$PULL_SECONDS" docker pull --quiet "$image" >/dev/null 2>&1; then echo "$image" && return; fi
    done
    return 1
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# Packages into the folder at hand; lists that are too old to find them are fetched once.
download() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "no registry of images answers, and without apt-get no image can be built here" >&2
        return 1
    fi
    apt-get download -qq "$@" >&2 && return
    as_root apt-get update -qq >&2
    apt-get download -qq "$@" >&2
}

# What a program of the folder $1 is linked with, as the loader of that folder finds it: paths within it.
libraries() {
    local root=$1 program=$2 loader=$3
    "$loader" --library-path "$root/lib/$(uname -m)-linux-gnu:$root/usr/lib/$(uname -m)-linux-gnu" --list "$root/$program" |
        grep -oE '/[^ ]+\.so[^ ]*' | sort -u
}

# Makes the image $1 from the programs $3 of the packages $2: those, what they are linked with, and a shell.
build() {
    local image=$1 packages=$2 programs=$3 work program library loader
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$work'" RETURN
    mkdir "$work/packages" "$work/all" "$work/image" "$work/image/tmp"
    # shellcheck disable=SC2086  # a list of words
    (cd "$work/packages" && download $packages libc6 "$SHELL_PACKAGE") || return 1
    for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/all"; done
    loader=$(find "$work/all" -name 'ld-linux*.so*' | head -n 1)
    for program in $programs; do
        install -D "$work/all/$program" "$work/image/$program"
        libraries "$work/all" "$program" "$loader" >"$work/libraries" || return 1
        while IFS= read -r library; do
            # The loader is named as the program asks for it, the others as they were found.
            install -D "$(readlink -f "$work/all/${library#"$work/all"}")" "$work/image/${library#"$work/all"}"
        done <"$work/libraries"
    done
    install -D "$(find "$work/all" -path '*bin/busybox' | head -n 1)" "$work/image/bin/busybox"
    ln -s busybox "$work/image/bin/sh"
    tar -C "$work/image" --owner=0 --group=0 --numeric-owner -c . |
        docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' - "$image" >/dev/null
}

for store in "${STORES[@]}"; do
    IFS='|' read -r variable local officials packages programs <<<"$store"
    image=${!variable:-}
    if [[ -z $image ]] && has_image "$local"; then image=$local; fi
    # shellcheck disable=SC2086  # a list of words
    if [[ -z $image ]] && ! image=$(official $officials); then
        echo "no registry gives $officials: building $local from packages" >&2
        build "$local" "$packages" "$programs" || {
            echo "no image for $variable: load one of $officials, or name your own in $variable" >&2
            exit 1
        }
        image=$local
    fi
    echo "$variable=$image"
done
