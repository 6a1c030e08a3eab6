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
cmake -S "$source/tests/install/consumer" -B consumer -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build consumer >/dev/null
consumer/with_runtime
consumer/with_library
for example in c cpp; do
  cmake -S "$source/examples/$example" -B "example_$example" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
  cmake --build "example_$example" >/dev/null
done
example_c/classify lenet5.nnq 0.5
example_cpp/parallel lenet5.nnq 2
