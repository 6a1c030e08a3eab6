#!/usr/bin/env bash
# The runtime on 64-bit Arm: cross-compiled, tested under qemu (with and without the dot product of Armv8.2), and four
# networks run in Arm's nnq-run, whose outputs must be the bytes that the x86 nnq-run writes. Needs build/release.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh aarch64
ctest --test-dir build/aarch64 -j "$(nproc)" --output-on-failure

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
build/release/bin/bench_interpreter --write "$folder"
run() {  # run OUTPUT NETWORK COMMAND...: one network's outputs, as files of a folder
  local output=$1 network=$2; shift 2
  "$@" "$folder/$network.nnq" --input "$folder/input.npy" --output "$folder/$output" >/dev/null
}
for network in w1a1 w2a2 w4a4 w8a8; do
  run "x86-$network" $network build/release/bin/nnq-run
  for isa in portable neon neon_dot; do
    run "$isa-$network" $network env NNQ_ISA=$isa qemu-aarch64-static build/aarch64/bin/nnq-run
    if ! diff -r "$folder/x86-$network" "$folder/$isa-$network"; then
      echo "arm: $network on $isa differs from x86" >&2
      exit 1
    fi
  done
done
echo "arm: nnq-run under qemu writes the bytes of x86: 4 networks, portable, neon, neon_dot"
