#!/usr/bin/env bash
# Installs what is missing, builds nnq, and does its main job on real data: a float Fashion-MNIST network compressed to 8, 4, 2 and 1 bits,
# deployed, run by nnq's own runtime, in one table.
set -euo pipefail
cd "$(dirname "$0")"
scripts/setup.sh
scripts/build.sh release nnq
nnq=build/release/bin/nnq
model=models/fashion_mnist_float.onnx
start=$SECONDS
mkdir -p runs
runs=$(mktemp -d runs/quickstart-XXXXXX)
echo
echo "compressing $model (Fashion-MNIST, 10,000 test images) to 8, 4, 2 and 1 bits; a few minutes"
for recipe in w8a8 w4a4 w2a2 w1a1; do
  echo "-- recipes/quickstart/$recipe.toml"
  "$nnq" compress "$model" --recipe "recipes/quickstart/$recipe.toml" --run "$runs/$recipe" > "$runs/$recipe.txt" ||
    { code=$?; cat "$runs/$recipe.txt"; [ "$code" = 1 ] || exit "$code"; }
done
echo
"$nnq" report "$runs"/w8a8 "$runs"/w4a4 "$runs"/w2a2 "$runs"/w1a1 --measure -o "$runs/report.html"
echo
echo "took $((SECONDS - start)) s after the build; page with plots: $runs/report.html"
echo "next:  $nnq inspect $runs/w1a1/model.nnq      what each layer became"
echo "       $nnq benchmark $runs/w1a1/model.nnq    where the time goes"
echo "       $nnq compress YOUR.onnx --weights 4 --activations 4 --data fashion_mnist"
