// Learning rate over time. Pure functions, torch-free.
#pragma once

#include <cstdint>
#include <span>

#include "train/trainer.h"

namespace nnq::train {

/// Throws nnq::Error for an unknown kind or values out of range.
void check_schedule(const ScheduleOptions& options);

/// Factor on the learning rate at `epoch` epochs (with fraction) of `epochs`, warm-up included. Let p be the share of
/// the epochs behind the warm-up that is done:
///   constant 1; step gamma^floor(epoch / every); multistep gamma^(milestones <= epoch);
///   cosine final + (1 - final) (1 + cos(pi p)) / 2; exponential final^p;
///   plateau gamma^(number of times that `patience` epochs in a row brought no new best of `scores`).
/// `scores`: one for each finished epoch, higher is better.
double learning_rate_factor(const ScheduleOptions& options, std::int64_t epochs, double epoch,
                            std::span<const double> scores);

/// Epochs at the end of `scores` that brought no new best.
std::int64_t epochs_without_improvement(std::span<const double> scores);

}  // namespace nnq::train
