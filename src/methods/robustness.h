// Attacks a model and measures what is left of its accuracy.
#pragma once

#include "nnq/robustness.h"

namespace nnq::methods {

/// Every attack of the request at every budget (attacks that are not bounded: once), with a progress bar. An image
/// counts as robust when it is classified correctly both as it is and under attack; only correctly classified images
/// are attacked. With draws all images are, and accuracies are means over the draws. The result does not depend on the
/// number of threads. Throws nnq::Error.
AttackReport measure_robustness(const AttackRequest& request);

}  // namespace nnq::methods
