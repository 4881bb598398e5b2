#!/usr/bin/env bash
# Interrupts `make up` (SIGINT) and kills it (SIGKILL) at random moments; after each, `make up` must end green.
# Usage: test/kill.sh [ROUNDS], 5 of each signal unless given. Works in a lab of its own; takes about a minute and a half a round.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-5}
folder=$(mktemp -d)
export LAB_DIR=$folder/lab
log=$folder/log
trap 'make down > /dev/null; rm -rf "$folder"' EXIT

for signal in INT KILL; do
  for round in $(seq "$rounds"); do
    # Half of the rounds begin without a lab, half on one without the platform.
    if [ $((round % 2)) = 1 ]; then
      make down > /dev/null
    else
      (exports="$(make -s env)"; eval "$exports"; pulumi destroy --yes --skip-preview --non-interactive > /dev/null)
    fi
    moment=$((1 + RANDOM % 45)).$((RANDOM % 10))
    setsid make up > "$log" 2>&1 &
    leader=$!
    sleep "$moment"
    if kill "-$signal" -- "-$leader" 2> /dev/null; then hit="killed in: $(grep -E '^(❯|✔|Updating|@ updating|GET| \+ )' "$log" | tail -n 1 | cut -c1-70)"; else hit="was done"; fi
    wait "$leader" 2> /dev/null || true
    start=$SECONDS
    if make up > "$log" 2>&1; then
      echo "SIG$signal after $moment s, $hit: the next make up is green after $((SECONDS - start)) s ($(tail -n 1 "$log"))"
    else
      echo "SIG$signal after $moment s, $hit: the next make up FAILS:"
      tail -n 40 "$log"
      exit 1
    fi
  done
done
