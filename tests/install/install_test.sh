#!/usr/bin/env bash
# Installs the release build aside, uses it outside the source tree, and builds a consumer with find_package(nnq).
# usage: install_test.sh BUILD_DIR SOURCE_DIR
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cd "$work"
"$work/prefix/bin/nnq" --version
"$work/prefix/bin/nnq" zoo lenet5 -o lenet5.onnx
"$work/prefix/bin/nnq" export lenet5.onnx --to nnq -o lenet5.nnq
"$work/prefix/bin/nnq" inspect lenet5.nnq >/dev/null
"$work/prefix/bin/nnq" methods >/dev/null          # loads the installed training library
if ldd "$work/prefix/bin/nnq-run" | grep -E 'torch|proto|onnx'; then echo "nnq-run must not link these"; exit 1; fi
cp "$work/prefix/bin/nnq-run" stripped && strip stripped
size=$(stat -c %s stripped)
echo "nnq-run: $size bytes stripped"
[ "$size" -le $((2 * 1024 * 1024)) ] || { echo "nnq-run is over 2 MiB"; exit 1; }
# The runtime alone: without exceptions and RTTI, fully static.
cmake -S "$source" -B runtime_only -DNNQ_RUNTIME_ONLY=ON >/dev/null
cmake --build runtime_only -j "$(nproc)" >/dev/null
cmake --install runtime_only --prefix "$work/runtime_prefix" >/dev/null
strip -o static_run runtime_only/bin/nnq-run
size=$(stat -c %s static_run)
echo "nnq-run, static: $size bytes stripped"
[ "$size" -le $((2 * 1024 * 1024)) ] || { echo "the static nnq-run is over 2 MiB"; exit 1; }
{ ldd static_run 2>&1 || true; } | grep -q -e 'not a dynamic' -e 'statically linked' || { echo "nnq-run is not static"; exit 1; }
cmake -S "$source/tests/install/consumer" -B consumer_runtime -DCMAKE_PREFIX_PATH="$work/runtime_prefix" >/dev/null
cmake --build consumer_runtime --target with_runtime >/dev/null
consumer_runtime/with_runtime
cmake -S "$source/tests/install/consumer" -B consumer -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build consumer >/dev/null
consumer/with_runtime
consumer/with_library
for example in c cpp; do
  cmake -S "$source/examples/$example" -B "example_$example" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
  cmake --build "example_$example" >/dev/null
done
# Both examples give the class that nnq itself gives for the same pixels.
{ printf 'P5\n28 28\n255\n'; head -c 784 "$work/prefix/bin/nnq"; } >image.pgm
expected=$(python3 - "$work/prefix/bin/nnq" <<'END'
import struct, subprocess, sys
pixels = [b / 255 for b in open("image.pgm", "rb").read()[-784:]]
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 28, 28), }"
header += " " * (63 - (10 + len(header)) % 64) + "\n"
with open("x.npy", "wb") as f:
    f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<784f", *pixels))
subprocess.run([sys.argv[1], "run", "lenet5.nnq", "--input", "x.npy", "--output", "out"], check=True, stdout=subprocess.DEVNULL)
import os
data = open(os.path.join("out", os.listdir("out")[0]), "rb").read()[-40:]
scores = struct.unpack("<10f", data)
print(scores.index(max(scores)))
END
)
example_c/classify lenet5.nnq image.pgm | tee c.txt
example_cpp/classify_all lenet5.nnq image.pgm image.pgm | tee cpp.txt
grep -q "^class $expected," c.txt && [ "$(grep -c "class $expected," cpp.txt)" = 2 ] || { echo "expected class $expected"; exit 1; }
if example_c/classify lenet5.nnq lenet5.nnq; then echo "not an image, but taken"; exit 1; fi
