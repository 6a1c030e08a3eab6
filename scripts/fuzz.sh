#!/usr/bin/env bash
# Runs every libFuzzer target of the asan build for a while, one a core: scripts/fuzz.sh [SECONDS]; the .nnq reader, which also
# runs what it read, three times as long. New inputs go to build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
export seconds=${1:-20}

fuzz() {  # fuzz TARGET
  local target=$1 name time=$seconds
  name=$(basename "$target"); name=${name#fuzz_}
  [ "$name" = nnq ] && time=$((3 * seconds))
  mkdir -p "build/fuzz/$name" "fuzz/seeds/$name"
  if "$target" -max_total_time="$time" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=20 -max_len=65536 \
       -artifact_prefix="build/fuzz/$name-" "build/fuzz/$name" "fuzz/seeds/$name" >"build/fuzz/$name.log" 2>&1; then
    echo "fuzz: $name: $(grep -oE 'Done [0-9]+ runs' "build/fuzz/$name.log" | head -n 1), no fault"
  else
    echo "fuzz: $name FAILED:"; grep -E 'ERROR|SUMMARY|Test unit' "build/fuzz/$name.log" | head -n 5
    return 1
  fi
}
export -f fuzz

targets=$(ls -r build/asan/bin/fuzz_* 2>/dev/null) || { echo "fuzz: no targets built"; exit 2; }
# The longest first: no core waits for it at the end.
{ grep '/fuzz_nnq$' <<<"$targets"; grep -v '/fuzz_nnq$' <<<"$targets"; } | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}'
