#include "onednn.h"

#include <algorithm>
#include <cmath>
#include <dnnl.hpp>
#include <memory>
#include <unordered_map>

#include "agreement.h"

namespace nnq::peers {
namespace {

using dnnl::memory;
using Type = memory::data_type;
using Tag = memory::format_tag;

bool winograd(OneDnnForm form) { return form == OneDnnForm::real_winograd || form == OneDnnForm::u8s8_winograd; }
bool real(OneDnnForm form) { return form == OneDnnForm::real || form == OneDnnForm::real_winograd; }

class Product {
 public:
  Product(const Layer& layer, OneDnnForm form, int shift)
      : layer_(layer), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    from_ = real(form) ? Type::f32 : form == OneDnnForm::s8s8 ? Type::s8 : Type::u8;
    weight_ = real(form) ? Type::f32 : Type::s8;
    to_ = form == OneDnnForm::u8s8_sums ? Type::s32 : from_;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::library);
    if (shift != 0) attributes.set_output_scales(0, {std::ldexp(1.0F, -shift)});
    layer.shape.dense() ? make_product(attributes) : make_convolution(form, attributes);
  }

  void execute() {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }
  std::string implementation() const { return name_; }
  /// The result, NHWC.
  std::vector<float> result() {
    const LayerShape& s = layer_.shape;
    memory plain({{s.batch, s.out, s.size, s.size}, Type::f32, Tag::nhwc}, engine_);
    if (s.dense()) plain = memory({{s.batch, s.out}, Type::f32, Tag::ab}, engine_);
    dnnl::reorder(target_, plain).execute(stream_, target_, plain);
    stream_.wait();
    const float* at = static_cast<const float*>(plain.get_data_handle());
    return {at, at + s.outputs()};
  }

 private:
  template <class T>
  memory filled(const std::vector<T>& values, const memory::desc& desc) {
    memory m(desc, engine_);
    std::copy(values.begin(), values.end(), static_cast<T*>(m.get_data_handle()));
    return m;
  }
  memory plain(Type type, const memory::dims& dims, Tag tag, bool weights) {
    const memory::desc desc(dims, type, tag);
    const std::vector<std::int16_t>& codes = layer_.codes;
    if (type == Type::f32)
      return weights ? filled(std::vector<float>(layer_.integers.begin(), layer_.integers.end()), desc)
                     : filled(std::vector<float>(codes.begin(), codes.end()), desc);
    if (weights) return filled(layer_.integers, desc);
    return type == Type::s8 ? filled(std::vector<std::int8_t>(codes.begin(), codes.end()), desc)
                            : filled(std::vector<std::uint8_t>(codes.begin(), codes.end()), desc);
  }
  memory reordered(memory from, const memory::desc& wanted) {
    if (from.get_desc() == wanted) return from;
    memory to(wanted, engine_);
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
    return to;
  }

  void make_product(const dnnl::primitive_attr& attributes) {
    const LayerShape& s = layer_.shape;
    const memory::desc a({s.batch, s.in}, from_, Tag::ab), c({s.batch, s.out}, to_, Tag::ab),
        b({s.in, s.out}, weight_, Tag::any);
    const dnnl::matmul::primitive_desc made({a, b, c}, attributes, engine_);
    finish(made, plain(from_, {s.batch, s.in}, Tag::ab, false), plain(weight_, {s.in, s.out}, Tag::ba, true));
    primitive_ = dnnl::matmul(made);
  }

  void make_convolution(OneDnnForm form, const dnnl::primitive_attr& attributes) {
    const LayerShape& s = layer_.shape;
    const memory::dims x{s.batch, s.in, s.size, s.size}, w{s.out, s.in, s.kernel, s.kernel},
        y{s.batch, s.out, s.size, s.size};
    const auto algorithm = winograd(form) ? dnnl::algorithm::convolution_winograd : dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::desc wanted(dnnl::prop_kind::forward_inference, algorithm, {x, from_, Tag::any},
                                                 {w, weight_, Tag::any}, {y, to_, Tag::any}, {1, 1}, {s.pad(), s.pad()},
                                                 {s.pad(), s.pad()});
    const dnnl::convolution_forward::primitive_desc made(wanted, attributes, engine_);
    finish(made, plain(from_, x, Tag::nhwc, false), plain(weight_, w, Tag::ohwi, true));
    primitive_ = dnnl::convolution_forward(made);
  }

  template <class Made>
  void finish(const Made& made, const memory& x, const memory& w) {
    name_ = made.impl_info_str();
    target_ = memory(made.dst_desc(), engine_);
    arguments_ = {{DNNL_ARG_SRC, reordered(x, made.src_desc())},
                  {DNNL_ARG_WEIGHTS, reordered(w, made.weights_desc())},
                  {DNNL_ARG_DST, target_}};
  }

  const Layer layer_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  Type from_ = Type::f32, weight_ = Type::f32, to_ = Type::f32;
  dnnl::primitive primitive_;
  memory target_;
  std::unordered_map<int, memory> arguments_;
  std::string name_;
};

const char* name_of(OneDnnForm form) {
  switch (form) {
    case OneDnnForm::real:
      return "fp32";
    case OneDnnForm::real_winograd:
      return "fp32 Winograd";
    case OneDnnForm::u8s8:
      return "int8 u8s8";
    case OneDnnForm::s8s8:
      return "int8 s8s8";
    case OneDnnForm::u8s8_winograd:
      return "int8 u8s8 Winograd";
    case OneDnnForm::u8s8_sums:
      return "int8 u8s8, int32 out";
  }
  return "";
}

}  // namespace

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  const char* isa = "other";
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      isa = "SSE4.1";
      break;
    case dnnl::cpu_isa::avx:
      isa = "AVX";
      break;
    case dnnl::cpu_isa::avx2:
      isa = "AVX2";
      break;
    case dnnl::cpu_isa::avx512_core:
      isa = "AVX-512";
      break;
    case dnnl::cpu_isa::avx512_core_vnni:
      isa = "AVX-512 VNNI";
      break;
    case dnnl::cpu_isa::avx512_core_bf16:
      isa = "AVX-512 BF16";
      break;
    default:
      break;
  }
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) + ", " + isa;
}

std::vector<std::int32_t> onednn_sums(const Layer& layer) {
  Product product(layer, OneDnnForm::real, 0);
  product.execute();
  const std::vector<float> result = product.result();
  return {result.begin(), result.end()};
}

std::optional<Contender> onednn(const Layer& layer, OneDnnForm form, const std::vector<std::int32_t>& sums) {
  const bool codes_out = !real(form) && form != OneDnnForm::u8s8_sums;
  std::shared_ptr<Product> product;
  try {
    product = std::make_shared<Product>(layer, form, codes_out ? layer.shift() : 0);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return std::nullopt;
    throw;
  }
  product->execute();
  const std::vector<float> got = product->result();
  Contender c;
  c.who = "oneDNN";
  c.what = name_of(form);
  c.kernel = product->implementation();
  c.check = codes_out ? agreement(got, requantized(sums, layer.shift(), form == OneDnnForm::s8s8))
                      : agreement(got, std::vector<float>(sums.begin(), sums.end()));
  // Without VNNI, pairs of products meet in 16 bits; 7-bit weights keep them from saturating.
  if (!real(form) && c.check != "equal" && layer.precision.weight_bits == 8) {
    const Layer seven(layer.shape, uniform(7, 8, form == OneDnnForm::s8s8), 1);
    c.check += "; 7-bit weights: " + onednn(seven, form, onednn_sums(seven))->check;
  }
  c.sample = in_process([product] { product->execute(); });
  return c;
}

}  // namespace nnq::peers
