#!/usr/bin/env bash
# Installs ONNX Runtime for Node.js, the judge of tests/onnx/onnxruntime_judge_test.cpp, into build/onnxruntime (never in
# the product). Without install scripts: they would only fetch CUDA libraries. Does nothing twice; exit code 2 on failure.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.20.1   # runs with Node.js 18 (Debian 12) and 20; knows opset 21
folder=build/onnxruntime
module=$folder/node_modules/onnxruntime-node

installed() {  # the library is there, and so is exactly this version
  compgen -G "$module/bin/napi-v*/linux/*/libonnxruntime.so.1*" >/dev/null &&
    grep -q "\"version\": *\"$version\"" "$module/package.json"
}

if installed; then
  echo "setup: ONNX Runtime $version is there"
  exit 0
fi
mkdir -p "$folder"
log=$folder/npm.log
for pause in 5 20 0; do
  if npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund "onnxruntime-node@$version" >"$log" 2>&1 && installed; then
    # The other systems' libraries are four fifths of the package.
    find "$module"/bin/napi-v* -mindepth 1 -maxdepth 1 ! -name linux -exec rm -rf {} +
    echo "setup: installed ONNX Runtime $version (npm onnxruntime-node) in $folder"
    exit 0
  fi
  sleep "$pause"
done
echo "setup: npm could not install onnxruntime-node@$version after 3 tries; see $log" >&2
exit 2
