#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: release build, then address+undefined sanitizers with the
# fuzz targets, then the thread sanitizer, then Arm under qemu. ./test.sh quick runs the quick tests of the release build only.
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

# Runs ctest quietly; a failure shows which tests failed and what they said.
tests() {  # tests PRESET CTEST-OPTION...
  local preset=$1 log; shift
  log=build/$preset.tests.log
  if ctest --test-dir "build/$preset" -j "$(nproc)" --output-on-failure "$@" >"$log" 2>&1; then
    grep -E 'tests passed' "$log"
  else
    sed -n '/The following tests FAILED/,$p' "$log" | head -n 60
    grep -nE 'Failure$|ERROR: |runtime error|SUMMARY|WARNING: ThreadSanitizer' -A 6 "$log" | head -n 120
    return 1
  fi
}

scripts/build.sh release
if [ "${1:-}" = quick ]; then
  exec ctest --test-dir build/release -L quick -j "$(nproc)" --output-on-failure --progress
fi
scripts/build.sh asan
scripts/build.sh tsan test_core test_data test_runtime
step "sanitizers: address, undefined" tests asan -L quick
step "fuzzing, 20 s a reader, 60 s .nnq files" scripts/fuzz.sh 20
export TSAN_OPTIONS=halt_on_error=1
step "sanitizers: thread" tests tsan -R 'Thread|Parallel|Loader|Session|Pool|Weights'
step "Arm under qemu" scripts/arm.sh
step "release tests" tests release
echo
if [ ${#failed[@]} -gt 0 ]; then echo "test.sh: FAILED after $((SECONDS - start)) s: ${failed[*]}"; exit 1; fi
echo "test.sh: everything passed in $((SECONDS - start)) s"
