#include <cblas.h>

#include <memory>

#include "agreement.h"
#include "float_libraries.h"

namespace nnq::peers {

Contender openblas(const Layer& layer, const std::vector<std::int32_t>& sums) {
  struct Operands {
    std::vector<float> a, b, c;
  };
  const auto x = std::make_shared<Operands>();
  x->a = layer.input<float>();
  x->b.assign(layer.integers.begin(), layer.integers.end());
  x->c.resize(static_cast<std::size_t>(layer.shape.outputs()));
  const int m = static_cast<int>(layer.shape.batch), n = static_cast<int>(layer.shape.out),
            k = static_cast<int>(layer.shape.in);
  openblas_set_num_threads(1);
  const auto call = [x, m, n, k] {
    if (m == 1)
      cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1, x->b.data(), k, x->a.data(), 1, 0, x->c.data(), 1);
    else
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, x->a.data(), k, x->b.data(), k, 0, x->c.data(),
                  n);
  };
  call();
  Contender c;
  c.who = "OpenBLAS";
  c.what = m == 1 ? "fp32 sgemv" : "fp32 sgemm";
  c.check = agreement(x->c, std::vector<float>(sums.begin(), sums.end()));
  c.sample = in_process(call);
  return c;
}

std::string openblas_version() { return openblas_get_config(); }

}  // namespace nnq::peers
