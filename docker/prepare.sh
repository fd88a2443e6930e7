#!/usr/bin/env bash
# Readies what docker-compose.yml needs: the image, and in FOLDER (this one, unless told otherwise) the key of the
# cluster and the file .env with the token of its HTTP interface. What is there already is kept.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "${1:-$here}" && pwd)
umask 077

image=$("$here/../scripts/image.sh")
if [[ ! -e $folder/pogo.key ]]; then
    key=$(docker run --rm "$image" keygen)
    echo "$key" >"$folder/pogo.key"
fi
if [[ ! -e $folder/.env ]]; then
    token=$(head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
    cat >"$folder/.env" <<TEXT
COMPOSE_PROJECT_NAME=pogo
POGO_IMAGE=$image
POGO_KEY=$folder/pogo.key
POGO_USER=$(id -u):$(id -g)
POGO_HTTP_TOKEN=$token
TEXT
fi
