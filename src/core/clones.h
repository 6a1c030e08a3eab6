// For plain loops: one body compiled for three instruction sets, chosen when the program starts. -O3 for the
// vectoriser, and no reassociation, so lanes do not change results. Such a body uses builtins and no helper functions:
// what is not part of the body would not be compiled for its instruction set. Not under the thread sanitizer: the
// choice is made before it is set up.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define NNQ_CLONES                                                             \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), \
                 optimize("O3,no-trapping-math,no-math-errno")))
#else
#define NNQ_CLONES
#endif
