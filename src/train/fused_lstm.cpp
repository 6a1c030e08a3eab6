#include <torch/autograd.h>

#include "nnq/error.h"
#include "train/fused_recurrent.h"
#include "train/recurrent_loops.h"

namespace nnq::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Lstm : torch::autograd::Function<Lstm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& gates, const at::Tensor& r,
                               const at::Tensor& h0, const at::Tensor& c0, const StateQuantizer& quantize) {
    const std::int64_t time = gates.size(0), batch = gates.size(1), n = r.size(1);
    const at::Tensor act = at::empty_like(gates, at::MemoryFormat::Contiguous);  // gates behind their non-linearity
    const at::Tensor cells = at::empty({time + 1, batch, n}, gates.options());
    const at::Tensor tanh_c = at::empty({time, batch, n}, gates.options());
    const at::Tensor seen = at::empty({time + 1, batch, n}, gates.options());  // h as products and readers see it
    const at::Tensor weight = r.t();
    at::Tensor h = h0.clone(at::MemoryFormat::Contiguous);
    cells[0].copy_(c0);
    seen[0].copy_(quantize ? quantize(h) : h);
    for (std::int64_t t = 0; t < time; ++t) {
      at::Tensor a = act[t], now = cells[t + 1], out = tanh_c[t], reads = seen[t + 1];
      at::addmm_out(a, gates[t], seen[t], weight);
      a.slice(1, 0, 3 * n).sigmoid_();
      a.slice(1, 3 * n).tanh_();
      lstm_cell(a.data_ptr<float>(), cells[t].data_ptr<float>(), now.data_ptr<float>(), batch, n);
      at::tanh_out(out, now);
      lstm_output(a.data_ptr<float>(), out.data_ptr<float>(), h.data_ptr<float>(), batch, n);
      reads.copy_(quantize ? quantize(h) : h);
    }
    context->save_for_backward({act, cells, tanh_c, seen, r});
    return {seen.narrow(0, 1, time).clone(), h, cells[time].clone()};
  }

  static variable_list backward(AutogradContext* context, variable_list gradient) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &act = saved[0], &cells = saved[1], &tanh_c = saved[2], &seen = saved[3], &r = saved[4];
    const std::int64_t time = act.size(0), batch = act.size(1), n = r.size(1);
    const at::Tensor dy = gradient[0].defined() ? gradient[0].contiguous() : at::Tensor();
    const at::Tensor d_gates = at::empty_like(act);
    const auto start = [&](std::size_t i) {
      return gradient[i].defined() ? gradient[i].clone(at::MemoryFormat::Contiguous)
                                   : at::zeros({batch, n}, act.options());
    };
    at::Tensor dh = start(1), dc = start(2);
    for (std::int64_t t = time; t-- > 0;) {
      at::Tensor d = d_gates[t];
      if (dy.defined()) dh.add_(dy[t]);
      lstm_gradient(act[t].data_ptr<float>(), cells[t].data_ptr<float>(), tanh_c[t].data_ptr<float>(),
                    dh.data_ptr<float>(), dc.data_ptr<float>(), d.data_ptr<float>(), batch, n);
      at::mm_out(dh, d, r);
    }
    const at::Tensor rows = d_gates.view({time * batch, 4 * n});
    const at::Tensor dr = at::mm(rows.t(), seen.narrow(0, 0, time).reshape({time * batch, n}));
    return {d_gates, dr, dh, dc, at::Tensor()};
  }
};

}  // namespace

Sequence fused_lstm(const at::Tensor& gates, const at::Tensor& r, const at::Tensor& h, const at::Tensor& c,
                    const StateQuantizer& quantize) {
  NNQ_CHECK(gates.dim() == 3 && r.dim() == 2 && gates.size(2) == r.size(0) && r.size(0) == 4 * r.size(1) &&
                h.dim() == 2 && h.size(0) == gates.size(1) && h.size(1) == r.size(1) && c.sizes() == h.sizes(),
            "gates, recurrent weight and state of the LSTM do not fit together");
  const variable_list out = Lstm::apply(gates, r, h, c, quantize);
  return {out[0], out[1], out[2]};
}

}  // namespace nnq::train
