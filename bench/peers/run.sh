#!/usr/bin/env bash
# nnq beside ONNX Runtime, oneDNN, XNNPACK and OpenBLAS, by turns, one thread, pinned: bench/peers/run.sh [--quick] [--only WHAT]...
#   --quick            a subset in less than three minutes
#   --only WHAT        a group (gemm, convolution, matvec, lstm, networks) or part of a workload's name
#   --isa avx2         hold nnq and oneDNN down to AVX2 (ONNX Runtime and OpenBLAS cannot be told)
#   --record           into results/performance, which docs/performance.md is made from
#   --list, --rounds N
# Times are processor time of the one thread: other jobs on the core (CORE, default: the last) disturb caches, not the clock.
set -euo pipefail
cd "$(dirname "$0")/../.."
export NNQ_PEERS_COMMAND="bench/peers/run.sh $*"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for package in libdnnl-dev libxnnpack-dev libpthreadpool-dev libopenblas-pthread-dev; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "peers: installing ${missing[*]}" >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
fi
scripts/install_onnxruntime.sh >&2
log=build/peers/build.log
mkdir -p build/peers
if ! { cmake --preset release -DNNQ_PEERS=ON && cmake --build build/release -j "$(nproc)" --target bench_peers; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  exit 3
fi

arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --isa) export NNQ_ISA=$2 DNNL_MAX_CPU_ISA=${2^^}; shift ;;
    --record) arguments+=(--record results/performance) ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
core=${CORE:-$(($(nproc) - 1))}
exec taskset -c "$core" build/release/bin/bench_peers "${arguments[@]}"
