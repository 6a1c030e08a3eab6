#include "recipe/runner.h"

#include <fmt/core.h>

#include <chrono>

#include "core/interrupt.h"
#include "nnq/error.h"
#include "nnq/version.h"
#include "recipe/machine.h"
#include "train/threads.h"

namespace nnq::recipe {
namespace {

/// Why the network may be handed out: the recipe's [require].
bool requirements_met(const Recipe& recipe, const RunState& state, const RunResult& result) {
  if (recipe.min_value && !state.text && result.value < *recipe.min_value) return false;
  if (recipe.max_value && state.text && result.value > *recipe.max_value) return false;
  return !recipe.max_drop || !state.float_value || drop_of(state, *state.float_value, result.value) <= *recipe.max_drop;
}

RunOutcome outcome_of(const RunResult& result, const std::string& word) {
  return {word,         result.metric,      result.value, result.float_value,
          result.bytes, result.float_bytes, result.met,   result.seconds};
}

/// Stages in order. Finished stages of an earlier run are done again on resume: all but training are quick, and
/// training continues from its checkpoint (the last one of a finished stage holds its result).
void run_stages(RunState& state) {
  for (const Stage& stage : state.recipe.stages) {
    if (state.resume) {  // every stage reports again, the trainer also the epochs done earlier
      state.directory.forget_after(state.stage, 0);
      state.store.forget_after(state.run_id, static_cast<std::int64_t>(state.stage), 0);
    }
    try {
      run_stage(state, stage);
    } catch (const Error& error) {
      throw error.inside(fmt::format("stage {} ({})", state.stage + 1, name_of(stage.kind)));
    }
    state.interrupted = state.interrupted || interrupted();
    if (state.interrupted) return;
    ++state.stage;
  }
}

RunRecord record_of(const RunDirectory& directory, const Recipe& recipe) {
  return {directory.folder(), directory.name(), recipe.data, recipe_hash(recipe), version(), utc_now(), recipe.seed};
}

}  // namespace

RunResult run_recipe(const Recipe& recipe, const std::filesystem::path& folder, bool resume, int threads,
                     const std::string& command) {
  const auto begin = std::chrono::steady_clock::now();
  const InterruptGuard guard;
  train::set_threads(threads);
  RunDirectory directory =
      resume ? RunDirectory::resume(folder, recipe) : RunDirectory::create(folder, recipe, command);
  RunStore store;
  RunState state(recipe, directory, store);
  state.resume = resume;
  state.run_id = store.begin_run(record_of(directory, recipe), resume);
  RunResult result;
  result.run = directory.folder().string();
  ResultDetails details;
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  try {
    load_inputs(state);
    run_stages(state);
    if (!state.interrupted) {
      deploy(state, result, details);
      result.met = requirements_met(recipe, state, result);
    }
  } catch (...) {
    result.seconds = seconds();
    store.finish_run(state.run_id, outcome_of(result, "failed"));
    directory.remove_unused();
    throw;
  }
  result.interrupted = state.interrupted;
  result.seconds = seconds();
  directory.write_result(result, recipe.data, details);
  store.finish_run(state.run_id, outcome_of(result, result.interrupted ? "interrupted" : "done"));
  return result;
}

}  // namespace nnq::recipe
