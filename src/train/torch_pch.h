// Precompiled header of the rooms behind the LibTorch wall (src/train, src/methods). Trimmed: see docs/dependencies.md.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>
