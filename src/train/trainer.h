// The training loop: an executor, a loader, an optimizer, checkpoints. Torch-free header; recipes call this.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nnq/dataset.h"
#include "nnq/graph.h"
#include "nnq/text.h"

namespace nnq::train {

struct OptimizerOptions {
  std::string kind = "sgd";  // sgd, adam, adamw, adamax, shift_adamax (BNN sheet)
  double learning_rate = 0.1;
  double momentum = 0.9;  // sgd
  bool nesterov = false;
  double weight_decay = 0;  // not on biases, normalisation and quantizer state
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  /// Factor on the learning rate of quantizer state. The Adam kinds step relative to the state's own size: 0.01 is 1 %.
  double state_learning_rate = 1;
};

struct ScheduleOptions {
  std::string kind = "cosine";           // constant, step, multistep, cosine, exponential, plateau
  double warmup_epochs = 0;              // linear from 0
  double gamma = 0.1;                    // step, multistep, plateau: factor
  std::int64_t every = 10;               // step: epochs
  std::vector<std::int64_t> milestones;  // multistep: epochs
  double final_factor = 0;               // cosine, exponential: last learning rate / first
  std::int64_t patience = 3;             // plateau: epochs without improvement
};

/// Training against a teacher's soft outputs (Hinton et al. 2015; quantized distillation: Polino et al. 2018).
struct DistillationOptions {
  std::shared_ptr<const Graph> teacher;  // one float input like the student's, the same classes; null: no distillation
  double weight = 0.7;                   // share a of the teacher's term: a T^2 KL + (1 - a) loss
  double temperature = 2;                // T: logits are divided by it
  std::string match_layers;              // glob of layers whose values are held to the teacher's; empty: none
  double match_weight = 1;               // factor of that term (train/layer_matching.h)
};

struct TrainOptions {
  std::int64_t epochs = 1, batch = 128;
  std::int64_t unroll = 30;  // text: tokens a stream and step, the length of back-propagation through time
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  std::string loss = "cross_entropy";  // cross_entropy, squared_hinge (BNN sheet)
  double label_smoothing = 0;
  DistillationOptions distillation;
  double clip_gradient_norm = 0;  // 0: no clipping
  double ema = 0;                 // share of the old average kept a step (less in the first steps); 0: no averaging
  std::int64_t early_stop = 0;    // epochs without improvement; 0: never
  double min_learning_rate = 0;   // training ends when the schedule falls below it
  bool keep_best = true;  // end with the epoch that was best on validation (needs a validation set), else with the last
  std::uint64_t seed = 1;
  Augmentation augmentation;
  // Adversarial training (adversary.h).
  std::string adversarial = "none";   // none, fgsm, pgd
  double attack_epsilon = 8.0 / 255;  // largest change of a pixel in 0..1
  std::int64_t attack_steps = 7;      // pgd
  double attack_step_size = 0;        // pgd, pixels in 0..1; 0: 4/3 epsilon / steps
  double adversarial_share = 0.5;     // of each batch
};

struct EpochReport {
  std::int64_t epoch = 0;  // from 1
  double loss = 0;
  double train_accuracy = 0;  // percent; -1: text, whose perplexity is exp(loss)
  double validation = -1;     // accuracy in percent, or perplexity; -1: no validation set
  double learning_rate = 0, seconds = 0;
  std::map<std::string, double> quantizers;  // "<node>.<statistic>" of the last step (Quantizer::statistics)
};

struct TrainResult {
  Graph graph;  // training form (quantizers inside) with the chosen weights
  std::int64_t epochs_done = 0;
  double best_validation = -1;
  bool interrupted = false;  // SIGINT/SIGTERM: checkpoint written
  std::vector<EpochReport> history;
};

class Task;

/// Trains `graph` on a task (train/task.h). Checkpoints go to `checkpoint_folder` after every epoch and on
/// interruption, atomically; with `resume` training goes on from there with bit-identical results to an uninterrupted
/// run. Validation `on_epoch` sees every epoch in order, on resume those done earlier too. Validation measures the
/// frozen graph when there are quantizers: the number is the deployed one. Throws nnq::Error when the loss is not
/// finite, naming the tensor that went first; the last checkpoint stays. `on_epoch` comes before the epoch's
/// checkpoint, so a killed and resumed run may report that epoch again.
TrainResult train_graph(const Graph& graph, const Task& task, const TrainOptions& options,
                        const std::filesystem::path& checkpoint_folder, bool resume,
                        const std::function<void(const EpochReport&)>& on_epoch);
/// The same on images.
TrainResult train_graph(const Graph& graph, const Samples& samples, const Samples* validation,
                        const Preprocessing& preprocessing, const TrainOptions& options,
                        const std::filesystem::path& checkpoint_folder, bool resume,
                        const std::function<void(const EpochReport&)>& on_epoch);

/// Sets data-dependent quantizer state from up to `images` samples (calibration); returns the graph with its state.
Graph calibrate_graph(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                      std::int64_t images, std::uint64_t seed);

/// The deployable form of a graph with (calibrated or trained) quantizers; without quantizers the graph as it is.
Graph freeze_graph(const Graph& graph, std::uint64_t seed);

/// Accuracy in percent on LibTorch, and the predicted classes when asked for. Progress titled `title`.
double evaluate_accuracy(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                         std::int64_t batch, const std::string& title,
                         std::vector<std::int64_t>* predictions = nullptr);

/// Perplexity a token on LibTorch: data/perplexity.h. State that the graph does not carry is made to (carry_state).
/// `limit` > 0: of the first so many tokens.
Perplexity evaluate_perplexity(const Graph& graph, const Text& corpus, const std::string& title,
                               std::int64_t limit = 0);

}  // namespace nnq::train
