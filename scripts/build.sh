#!/usr/bin/env bash
# Configures and builds a preset: scripts/build.sh PRESET [TARGET...]. Prints the time; the log is build/PRESET.log.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1; shift
mkdir -p build
log=build/$preset.log
start=$SECONDS
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
echo "build: $preset ($(nproc) jobs; log in $log)"
if ! { cmake --preset "$preset" "${launcher[@]}" && cmake --build "build/$preset" -j "$(nproc)" ${@:+--target "$@"}; } >"$log" 2>&1; then
  { grep -nE 'error|CMake Error|FAILED|undefined reference' -A 2 "$log" || tail -n 20 "$log"; } | head -n 30 >&2
  echo "build: $preset failed; see $log" >&2
  exit 3
fi
echo "build: $preset done in $((SECONDS - start)) s"
