// Channel-wise interactions of a binary convolution: which channel's popcount corrects which other, and by how much.
// Z. Wang, J. Lu, C. Tao, J. Zhou, Q. Tian, "Learning Channel-Wise Interactions for Binary Convolutional Neural
// Networks" (CI-BCNN), CVPR 2019, sec. 3. Torch-free; all of it is integer arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nnq::methods {

/// One edge: the teacher's popcount corrects the student's. |influence| is odd and at least 3; its sign is that of the
/// correlation.
struct Interaction {
  std::int64_t teacher = 0, student = 0;
  int influence = 3;

  bool operator==(const Interaction&) const = default;
};

/// Unit of all corrections of a layer whose popcounts lie in -range .. range: ceil(share * range).
std::int64_t interaction_unit(double share, std::int64_t range);

/// delta(p) = sign(K) ((1 - |K|) / 2 + k) U, where p lies in interval k of |K| equal ones, (p_k, p_{k+1}], that cut
/// -range .. range; -range belongs to the first. A teacher in the middle interval corrects nothing.
class Stair {
 public:
  /// Throws nnq::Error unless |influence| is odd and in 3 .. 255, range and unit are positive.
  Stair(int influence, std::int64_t range, std::int64_t unit);

  std::int64_t delta(std::int64_t p) const;
  /// The integers from which on one interval more is passed: p >= threshold.
  const std::vector<std::int64_t>& thresholds() const { return thresholds_; }

 private:
  std::vector<std::int64_t> thresholds_;  // |K| - 1, ascending
  std::int64_t lowest_, step_;            // delta below all thresholds, change at each
};

/// K of an influence T in -1 .. 1: sign(T) (2 ceil(K0 |T|) + 1); 0, no change, for T = 0.
int influence_of(double t, int k0);
/// The state of an edge as the policy sees it: sign(K) (|K| - 1) / (2 K0).
double scaled_influence(int influence, int k0);

/// The interactions of one layer: no edge to itself, no cycle, edges within blocks of channels only, and no more than
/// `density` of all pairs of a block.
class ChannelGraph {
 public:
  struct Options {
    std::int64_t block = 16;  // the last block may be smaller
    double density = 0.1;     // rho_max
  };
  /// Throws nnq::Error for options out of range.
  ChannelGraph(std::int64_t channels, const Options& options);

  std::int64_t channels() const { return channels_; }
  const std::vector<Interaction>& edges() const { return edges_; }
  bool has(std::int64_t teacher, std::int64_t student) const;
  bool same_block(std::int64_t a, std::int64_t b) const { return a / options_.block == b / options_.block; }
  /// Whether the block of `teacher` has room and the edge keeps all rules.
  bool may_add(std::int64_t teacher, std::int64_t student) const;
  /// Adds the edge if it may be added; says whether it did.
  bool add(const Interaction& edge);
  bool remove(std::int64_t teacher, std::int64_t student);
  /// Gives an existing edge this influence; says whether it is there.
  bool set_influence(std::int64_t teacher, std::int64_t student, int influence);

 private:
  std::int64_t edges_in_block(std::int64_t block) const;
  bool reaches(std::int64_t from, std::int64_t to) const;

  std::int64_t channels_;
  Options options_;
  std::vector<Interaction> edges_;
};

/// Corrected popcounts of `pixels` places, channel-major p[channels][pixels]. Teachers count with what they were
/// before any correction.
std::vector<std::int64_t> interact(const ChannelGraph& graph, std::span<const std::int64_t> p, std::int64_t pixels,
                                   std::int64_t range, std::int64_t unit);

/// +1 when the loss fell by more than h, -1 when it rose by more, else 0.
int reward_of_loss(double before, double after, double h);
/// Mean over edges and pixels of sign(|teacher| - |student|).
double reward_of_magnitudes(std::span<const std::int64_t> teachers, std::span<const std::int64_t> students);

/// Where an edge is deleted: -log of the probabilities of creation, normalised.
std::vector<double> deletion_distribution(std::span<const double> creation);

std::vector<double> softmax(std::span<const double> logits);
/// Gradient of the loss -reward log p(action) in the logits: reward (p - onehot(action)).
std::vector<double> reinforce_gradient(std::span<const double> probabilities, std::size_t action, double reward);

}  // namespace nnq::methods
