#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: release build, then address+undefined sanitizers with the
# fuzz targets, then the thread sanitizer. ./test.sh quick runs the quick tests of the release build only.
set -euo pipefail
cd "$(dirname "$0")"
scripts/setup.sh --tests
if [ -d ../shared/data ]; then export NNQ_DATA="${NNQ_DATA:+$NNQ_DATA:}$(cd ../shared/data && pwd)"; fi
start=$SECONDS
failed=()
step() {  # step NAME COMMAND...
  local name=$1 begin=$SECONDS; shift
  echo "== $name"
  if "$@"; then echo "== $name: passed in $((SECONDS - begin)) s"; else echo "== $name: FAILED"; failed+=("$name"); fi
}

scripts/build.sh release
if [ "${1:-}" = quick ]; then
  exec ctest --test-dir build/release -L quick -j "$(nproc)" --output-on-failure --progress
fi
scripts/build.sh asan
scripts/build.sh tsan test_core test_data test_runtime
step "sanitizers: address, undefined" ctest --test-dir build/asan -L quick -j "$(nproc)" --output-on-failure -Q
step "fuzzing, 20 s a reader" scripts/fuzz.sh 20
step "sanitizers: thread" env TSAN_OPTIONS=halt_on_error=1 ctest --test-dir build/tsan -R 'Thread|Parallel|Loader|Session|Pool' -j "$(nproc)" --output-on-failure -Q
step "release tests" ctest --test-dir build/release -j "$(nproc)" --output-on-failure
echo
if [ ${#failed[@]} -gt 0 ]; then echo "test.sh: FAILED after $((SECONDS - start)) s: ${failed[*]}"; exit 1; fi
echo "test.sh: everything passed in $((SECONDS - start)) s"
