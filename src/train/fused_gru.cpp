#include <torch/autograd.h>

#include "nnq/error.h"
#include "train/fused_recurrent.h"
#include "train/recurrent_loops.h"

namespace nnq::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Gru : torch::autograd::Function<Gru> {
  static variable_list forward(AutogradContext* context, const at::Tensor& gates, const at::Tensor& r,
                               const at::Tensor& rb, const at::Tensor& h0, const StateQuantizer& quantize) {
    const std::int64_t time = gates.size(0), batch = gates.size(1), n = r.size(1);
    const at::Tensor act = at::empty_like(gates, at::MemoryFormat::Contiguous);       // z, r, n
    const at::Tensor products = at::empty_like(gates, at::MemoryFormat::Contiguous);  // seen h R^T + Rb
    const at::Tensor states = at::empty({time + 1, batch, n}, gates.options());
    const at::Tensor seen = quantize ? at::empty_like(states) : states;
    const at::Tensor input = gates.contiguous(), weight = r.t();
    states[0].copy_(h0);
    if (quantize) seen[0].copy_(quantize(states[0]));
    for (std::int64_t t = 0; t < time; ++t) {
      at::Tensor a = act[t], product = products[t], now = states[t + 1];
      at::addmm_out(product, rb, seen[t], weight);
      at::Tensor zr = a.slice(1, 0, 2 * n), candidate = a.slice(1, 2 * n);
      at::add_out(zr, input[t].slice(1, 0, 2 * n), product.slice(1, 0, 2 * n));
      zr.sigmoid_();
      gru_candidate(input[t].data_ptr<float>(), product.data_ptr<float>(), a.data_ptr<float>(), batch, n);
      candidate.tanh_();
      gru_output(a.data_ptr<float>(), states[t].data_ptr<float>(), now.data_ptr<float>(), batch, n);
      if (quantize) seen[t + 1].copy_(quantize(now));
    }
    context->save_for_backward({act, products, states, seen, r});
    return {seen.narrow(0, 1, time).clone(), states[time].clone()};
  }

  static variable_list backward(AutogradContext* context, variable_list gradient) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &act = saved[0], &products = saved[1], &states = saved[2], &seen = saved[3], &r = saved[4];
    const std::int64_t time = act.size(0), batch = act.size(1), n = r.size(1);
    const at::Tensor dy = gradient[0].defined() ? gradient[0].contiguous() : at::Tensor();
    const at::Tensor d_gates = at::empty_like(act), d_products = at::empty_like(act);
    at::Tensor dh =
        gradient[1].defined() ? gradient[1].clone(at::MemoryFormat::Contiguous) : at::zeros({batch, n}, act.options());
    for (std::int64_t t = time; t-- > 0;) {
      at::Tensor d = d_gates[t], dp = d_products[t];
      if (dy.defined()) dh.add_(dy[t]);
      gru_gradient(act[t].data_ptr<float>(), products[t].data_ptr<float>(), states[t].data_ptr<float>(),
                   dh.data_ptr<float>(), d.data_ptr<float>(), dp.data_ptr<float>(), batch, n);
      dh.addmm_(dp, r);  // gru_gradient left z dh in it
    }
    const at::Tensor rows = d_products.view({time * batch, 3 * n});
    const at::Tensor dr = at::mm(rows.t(), seen.narrow(0, 0, time).reshape({time * batch, n}));
    return {d_gates, dr, rows.sum(0), dh, at::Tensor()};
  }
};

}  // namespace

Sequence fused_gru(const at::Tensor& gates, const at::Tensor& r, const at::Tensor& rb, const at::Tensor& h,
                   const StateQuantizer& quantize) {
  NNQ_CHECK(gates.dim() == 3 && r.dim() == 2 && gates.size(2) == r.size(0) && r.size(0) == 3 * r.size(1) &&
                rb.numel() == r.size(0) && h.dim() == 2 && h.size(0) == gates.size(1) && h.size(1) == r.size(1),
            "gates, recurrent weight and state of the GRU do not fit together");
  const variable_list out = Gru::apply(gates, r, rb, h, quantize);
  return {out[0], out[1], {}};
}

}  // namespace nnq::train
