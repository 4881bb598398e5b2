#!/usr/bin/env bash
# Interrupts `make up` (SIGINT) and kills it (SIGKILL) at random moments; after each, `make up` must succeed.
# Usage: test/kill.sh [ROUNDS], by default 5 of each signal. Works in its own lab; a round takes about a minute and a half.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-5}
folder=$(mktemp -d)
export LAB_DIR=$folder/lab
log=$folder/log
trap 'make down > /dev/null; rm -rf "$folder"' EXIT

for signal in INT KILL; do
  for round in $(seq "$rounds"); do
    # Half of the rounds start without a lab, half with one but without the platform.
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
