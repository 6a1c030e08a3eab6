// The bodies of ai.nnq::LSTM, GRU (a Scan over time whose every step ends in the state's on-line quantization) and
// QuantizeVectors. With uniform = 1 a vector is rounded to 8 bits; otherwise it takes the alternating multi-bit
// decomposition (Xu et al. 2018, arXiv:1802.00150, algorithms 1 and 2; pack/multibit.cpp), in standard
// operators of opset 13 and later, for any number of bits and cycles:
//   greedy        a Scan over the bits: scale = mean magnitude of the residual, signs = its signs;
//   least squares signs^T signs + ridge I, solved for all samples at once by a Scan over the pivots (Gauss-Jordan; the
//                 matrix is positive definite, so no pivot is searched);
//   nearest level all 2^bits levels sorted downwards, the first of the nearest: a tie goes up, as in nnq.
// Sums and systems are double and scales are rounded to float32 where nnq rounds them. Products of doubles are Einsum:
// ONNX Runtime fuses Transpose and MatMul to an operator that it has for float32 only.
#include "onnx/function_bodies.h"

namespace nnq::onnx_format {
namespace {

/// Constants of every function that quantizes vectors.
constexpr const char* constants = R"(
  zero_f = Constant <value_float: float = 0.0> ()
  plus_f = Constant <value_float: float = 1.0> ()
  minus_f = Constant <value_float: float = -1.0> ()
  zero_i = Constant <value_int: int = 0> ()
  one_i = Constant <value_int: int = 1> ()
  axis_0 = Constant <value = int64[1] {0}> ()
  axis_1 = Constant <value = int64[1] {1}> ()
  axis_2 = Constant <value = int64[1] {2}> ()
  axis_last = Constant <value = int64[1] {-1}> ()
  two_d = Constant <value = double[1] {2.0}> ()
  one_d = Constant <value = double[1] {1.0}> ()
  ridge = Constant <value = double[1] {0.000001}> ()
  bits = Constant <value_int: int = @PREFIX@bits> ()
  cycles = Constant <value_int: int = @PREFIX@cycles> ()
  uniform_i = Constant <value_int: int = @PREFIX@uniform> ()
  is_uniform = Cast <to = 9> (uniform_i)
  most_code = Constant <value_float: float = 127.0> ()
  least_code = Constant <value_float: float = -127.0> ()
  one_1d = Constant <value = int64[1] {1}> ()
)";

/// Levels and systems of the multi-bit code.
constexpr const char* code_constants = R"(
  bit_numbers = Range (zero_i, bits, one_i)
  bit_numbers_d = Cast <to = 11> (bit_numbers)
  bit_values = Pow (two_d, bit_numbers_d)
  bits_1d = Reshape (bits, one_1d)
  bits_d = Cast <to = 11> (bits_1d)
  level_count_d = Pow (two_d, bits_d)
  level_count = Cast <to = 7> (level_count_d)
  level_count_0d = Squeeze (level_count)
  code_numbers = Range (zero_i, level_count_0d, one_i)
  last_code = Sub (level_count, one_1d)
  codes_down = Sub (last_code, code_numbers)
  codes_down_d = Cast <to = 11> (codes_down)
  code_column = Unsqueeze (codes_down_d, axis_1)
  code_shifted = Div (code_column, bit_values)
  code_whole = Floor (code_shifted)
  code_half = Div (code_whole, two_d)
  code_half_whole = Floor (code_half)
  code_even = Mul (code_half_whole, two_d)
  code_bits = Sub (code_whole, code_even)
  code_twice = Mul (code_bits, two_d)
  signs_of_code = Sub (code_twice, one_d)
  bits_by_bits = Concat <axis = 0> (bits_1d, bits_1d)
  no_bits = ConstantOfShape <value = double[1] {0.0}> (bits_by_bits)
  eye = EyeLike <dtype = 11> (no_bits)
  ridge_eye = Mul (eye, ridge)
  bits_and_one = Add (bits_1d, one_1d)
  wide_shape = Concat <axis = 0> (bits_1d, bits_and_one)
  no_wide = ConstantOfShape <value = double[1] {0.0}> (wide_shape)
  eye_wide = EyeLike <dtype = 11> (no_wide)
)";

/// Of both cells; gate rows G H, units H, samples N, times T. Inputs that may be left out are given a value
/// by operators whose own input may be left out: Gemm's C (biases), a RNN that does nothing but pass on (states).
constexpr const char* recurrent_prologue = R"(
  @CONSTANTS@
  x_shape = Shape (x)
  samples = Gather (x_shape, axis_1)
  r_shape = Shape (r)
  rows = Gather (r_shape, axis_1)
  units = Gather (r_shape, axis_2)
  units_d = Cast <to = 11> (units)
  bias_shape = Concat <axis = 0> (one_1d, rows, rows)
  one_by_one = Concat <axis = 0> (one_1d, one_1d)
  no_left = ConstantOfShape <value = float[1] {0.0}> (one_by_one)
  both_rows = Add (rows, rows)
  no_right_shape = Concat <axis = 0> (one_1d, both_rows)
  no_right = ConstantOfShape <value = float[1] {0.0}> (no_right_shape)
  all_biases = Gemm (no_left, no_right, b)
  bias_w = Slice (all_biases, axis_0, rows, axis_1)
  bias_r = Slice (all_biases, rows, both_rows, axis_1)
  pass_x_shape = Concat <axis = 0> (one_1d, samples, one_1d)
  pass_x = ConstantOfShape <value = float[1] {0.0}> (pass_x_shape)
  pass_w_shape = Concat <axis = 0> (one_1d, units, one_1d)
  pass_w = ConstantOfShape <value = float[1] {0.0}> (pass_w_shape)
  square_shape = Concat <axis = 0> (units, units)
  square = ConstantOfShape <value = float[1] {0.0}> (square_shape)
  pass_square = EyeLike (square)
  pass_r = Unsqueeze (pass_square, axis_0)
  @PASS@
  w_2d = Squeeze (w, axis_0)
  r_2d = Squeeze (r, axis_0)
  w_columns = Transpose <perm = [1, 0]> (w_2d)
  r_columns = Transpose <perm = [1, 0]> (r_2d)
  x_product = MatMul (x, w_columns)
  x_sums = Add (x_product, bias_w)
  @CODE@
)";

/// @q [N, H] of @h [N, H]; every name made here begins with @q. Outer names are those of the prologue.
constexpr const char* quantize_rows = R"(
  @q = If <then_branch = @q_uniform () => (float[?, ?] @q_whole) {
    @q_size = Abs (@h)
    @q_most, @q_most_at = TopK <axis = -1, largest = 1, sorted = 1> (@q_size, one_1d)
    @q_step = Div (@q_most, most_code)
    @q_flat = Equal (@q_step, zero_f)
    @q_divisor = Where (@q_flat, plus_f, @q_step)
    @q_steps = Div (@h, @q_divisor)
    @q_rounded = Round (@q_steps)
    @q_is_above = Greater (@q_rounded, least_code)
    @q_above = Where (@q_is_above, @q_rounded, least_code)
    @q_is_below = Less (@q_above, most_code)
    @q_number = Where (@q_is_below, @q_above, most_code)
    @q_whole = Mul (@q_number, @q_step)
  }, else_branch = @q_multibit () => (float[?, ?] @q_levels_of_signs) {
  @q_residual, @q_scales, @q_signs = Scan <num_scan_inputs = 1,
      body = @q_greedy (float[?, ?] @q_r, int64 @q_bit) => (float[?, ?] @q_r_next, float[?, ?] @q_alpha, float[?, ?] @q_sign) {
    @q_magnitude = Abs (@q_r)
    @q_magnitude_d = Cast <to = 11> (@q_magnitude)
    @q_total = ReduceSum <keepdims = 1> (@q_magnitude_d, axis_last)
    @q_mean = Div (@q_total, units_d)
    @q_alpha = Cast <to = 1> (@q_mean)
    @q_positive = GreaterOrEqual (@q_r, zero_f)
    @q_sign = Where (@q_positive, plus_f, minus_f)
    @q_part = Mul (@q_sign, @q_alpha)
    @q_r_next = Sub (@q_r, @q_part)
  }> (@h, bit_numbers)
  @q_scales_2d = Squeeze (@q_scales, axis_2)
  @q_alpha_0 = Transpose <perm = [1, 0]> (@q_scales_2d)
  @q_signs_d = Cast <to = 11> (@q_signs)
  @q_signs_0 = Transpose <perm = [1, 2, 0]> (@q_signs_d)
  @q_parts = Mul (@q_signs, @q_scales)
  @q_value_0 = ReduceSum <keepdims = 0> (@q_parts, axis_0)
  @q_h_d = Cast <to = 11> (@h)
  @q_h_column = Unsqueeze (@q_h_d, axis_2)
  @q_alpha_end, @q_signs_end, @q_levels_of_signs = Loop <
      body = @q_cycle (int64 @q_number, bool @q_go, float[?, ?] @q_a, double[?, ?, ?] @q_b, float[?, ?] @q_v)
          => (bool @q_on, float[?, ?] @q_a_next, double[?, ?, ?] @q_b_next, float[?, ?] @q_v_next) {
    @q_on = Identity (@q_go)
    @q_gram_plain = Einsum <equation = "nhi,nhj->nij"> (@q_b, @q_b)
    @q_gram = Add (@q_gram_plain, ridge_eye)
    @q_right_plain = Einsum <equation = "nhi,nhj->nij"> (@q_b, @q_h_column)
    @q_a_d = Cast <to = 11> (@q_a)
    @q_a_column = Unsqueeze (@q_a_d, axis_2)
    @q_pull = Mul (@q_a_column, ridge)
    @q_right = Add (@q_right_plain, @q_pull)
    @q_system = Concat <axis = 2> (@q_gram, @q_right)
    @q_solved = Scan <num_scan_inputs = 2,
        body = @q_eliminate (double[?, ?, ?] @q_m, double[?] @q_e, double[?] @q_e_wide) => (double[?, ?, ?] @q_m_next) {
      @q_e_column = Unsqueeze (@q_e, axis_1)
      @q_in_row = Mul (@q_m, @q_e_column)
      @q_row = ReduceSum <keepdims = 1> (@q_in_row, axis_1)
      @q_in_column = Mul (@q_m, @q_e_wide)
      @q_column = ReduceSum <keepdims = 1> (@q_in_column, axis_2)
      @q_at_pivot = Mul (@q_row, @q_e_wide)
      @q_pivot = ReduceSum <keepdims = 1> (@q_at_pivot, axis_2)
      @q_row_scaled = Div (@q_row, @q_pivot)
      @q_factors = Sub (@q_column, @q_e_column)
      @q_taken = Mul (@q_factors, @q_row_scaled)
      @q_m_next = Sub (@q_m, @q_taken)
    }> (@q_system, eye, eye_wide)
    @q_a_found = Gather <axis = 2> (@q_solved, bits)
    @q_a_next = Cast <to = 1> (@q_a_found)
    @q_a_rounded = Cast <to = 11> (@q_a_next)
    @q_levels_d = Einsum <equation = "nk,lk->nl"> (@q_a_rounded, signs_of_code)
    @q_levels = Cast <to = 1> (@q_levels_d)
    @q_sorted, @q_order = TopK <axis = 1, largest = 1, sorted = 1> (@q_levels, level_count)
    @q_sorted_d = Cast <to = 11> (@q_sorted)
    @q_sorted_rows = Unsqueeze (@q_sorted_d, axis_1)
    @q_off = Sub (@q_h_column, @q_sorted_rows)
    @q_distance = Abs (@q_off)
    @q_place = ArgMin <axis = 2, keepdims = 0> (@q_distance)
    @q_v_next = GatherElements <axis = 1> (@q_sorted, @q_place)
    @q_code = GatherElements <axis = 1> (@q_order, @q_place)
    @q_b_next = Gather <axis = 0> (signs_of_code, @q_code)
  }> (cycles, , @q_alpha_0, @q_signs_0, @q_value_0)
  }> (is_uniform)
)";

/// x [.., n] as rows, and back.
constexpr const char* vectors = R"({
  @CONSTANTS@
  @CODE@
  x_shape = Shape (x)
  n_start = Constant <value = int64[1] {-1}> ()
  n_end = Constant <value = int64[1] {9223372036854775807}> ()
  units = Slice (x_shape, n_start, n_end, axis_0)
  units_d = Cast <to = 11> (units)
  rows_shape = Concat <axis = 0> (n_start, units)
  x_rows = Reshape (x, rows_shape)
  @QUANTIZE@
  y = Reshape (y_rows, x_shape)
})";

/// Gates i, o, f, c.
constexpr const char* lstm = R"({
  @PROLOGUE@
  gate_lengths = Concat <axis = 0> (units, units, units, units)
  x_biased = Add (x_sums, bias_r)
  @QUANTIZE_START@
  h_end, c_end, q_end, q_all = Scan <num_scan_inputs = 1,
      body = step (float[?, ?] h_old, float[?, ?] c_old, float[?, ?] q_old, float[?, ?] x_now)
          => (float[?, ?] h_new, float[?, ?] c_new, float[?, ?] q_new, float[?, ?] y_now) {
    product = MatMul (q_old, r_columns)
    sums = Add (x_now, product)
    i_sum, o_sum, f_sum, g_sum = Split <axis = 1> (sums, gate_lengths)
    i = Sigmoid (i_sum)
    o = Sigmoid (o_sum)
    f = Sigmoid (f_sum)
    g = Tanh (g_sum)
    kept = Mul (f, c_old)
    added = Mul (i, g)
    c_new = Add (kept, added)
    c_tanh = Tanh (c_new)
    h_new = Mul (o, c_tanh)
    @QUANTIZE_NEW@
    y_now = Identity (q_new)
  }> (h_start, c_start, q_start, x_biased)
  y = Unsqueeze (q_all, axis_1)
  y_h = Unsqueeze (h_end, axis_0)
  y_c = Unsqueeze (c_end, axis_0)
})";

/// Gates z, r, h; the state's product of h is reset after its bias (linear_before_reset = 1).
constexpr const char* gru = R"({
  @PROLOGUE@
  gate_lengths = Concat <axis = 0> (units, units, units)
  @QUANTIZE_START@
  h_end, q_end, q_all = Scan <num_scan_inputs = 1,
      body = step (float[?, ?] h_old, float[?, ?] q_old, float[?, ?] x_now)
          => (float[?, ?] h_new, float[?, ?] q_new, float[?, ?] y_now) {
    product = MatMul (q_old, r_columns)
    state_sums = Add (product, bias_r)
    x_z, x_r, x_h = Split <axis = 1> (x_now, gate_lengths)
    s_z, s_r, s_h = Split <axis = 1> (state_sums, gate_lengths)
    z_sum = Add (x_z, s_z)
    update = Sigmoid (z_sum)
    r_sum = Add (x_r, s_r)
    reset = Sigmoid (r_sum)
    s_reset = Mul (reset, s_h)
    h_sum = Add (x_h, s_reset)
    candidate = Tanh (h_sum)
    rest = Sub (plus_f, update)
    fresh = Mul (rest, candidate)
    kept = Mul (update, h_old)
    h_new = Add (fresh, kept)
    @QUANTIZE_NEW@
    y_now = Identity (q_new)
  }> (h_start, q_start, x_sums)
  y = Unsqueeze (q_all, axis_1)
  y_h = Unsqueeze (h_end, axis_0)
})";

std::string passed_on(const std::string& from, const std::string& to) {
  return to + "_none, " + to +
         R"(_3d = RNN <activations = ["Affine"], activation_alpha = [1.0], activation_beta = [0.0],
      hidden_size: int = @hidden_size> (pass_x, pass_w, pass_r, , , )" +
         from + ")\n  " + to + " = Squeeze (" + to + "_3d, axis_0)\n  ";
}

std::string quantized(const std::string& state, const std::string& to) {
  return replaced(replaced(quantize_rows, "@h", state), "@q", to);
}

/// Constants and the state's code, whose attributes have `prefix`.
std::string with_code(const std::string& text, const std::string& prefix) {
  return replaced(replaced(text, "@CONSTANTS@", replaced(constants, "@PREFIX@", "@" + prefix)), "@CODE@",
                  code_constants);
}

std::string complete(const char* cell, const std::string& states) {
  std::string text = replaced(cell, "@PROLOGUE@", recurrent_prologue);
  text = replaced(with_code(text, "state_"), "@PASS@", states);
  text = replaced(text, "@QUANTIZE_START@", quantized("h_start", "q_start"));
  return replaced(text, "@QUANTIZE_NEW@", quantized("h_new", "q_new"));
}

}  // namespace

std::vector<Body> recurrent_bodies() {
  const std::string state = passed_on("initial_h", "h_start"), cell = passed_on("initial_c", "c_start");
  static const std::string lstm_text = complete(lstm, state + cell), gru_text = complete(gru, state),
                           vectors_text = replaced(with_code(vectors, ""), "@QUANTIZE@", quantized("x_rows", "y_rows"));
  return {{"LSTM",
           "<state_bits, state_cycles, state_uniform, hidden_size> (x, w, r, b, lengths, initial_h, initial_c) => "
           "(y, y_h, y_c)",
           lstm_text.c_str()},
          {"GRU", "<state_bits, state_cycles, state_uniform, hidden_size> (x, w, r, b, lengths, initial_h) => (y, y_h)",
           gru_text.c_str()},
          {"QuantizeVectors", "<bits, cycles, uniform> (x) => (y)", vectors_text.c_str()}};
}

}  // namespace nnq::onnx_format
