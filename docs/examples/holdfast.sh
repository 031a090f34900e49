#!/bin/sh
# Start Holdfast for the examples (`make run`), with a token key of its own, and pages of Vite's origins allowed to use it.
set -eu
cd "$(dirname "$0")"
if [ ! -e .env.local ]; then # Vite reads it too: its signing endpoint needs the key
  (umask 077 && echo "HOLDFAST_TOKEN_KEYS=examples:$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >.env.local)
fi
. ./.env.local
export HOLDFAST_TOKEN_KEYS HOLDFAST_ORIGINS=http://localhost:5173,http://localhost:4173
exec make -C ../.. run
