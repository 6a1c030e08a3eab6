// The picture of a quantizer: `nnq methods NAME --plot`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nnq/train_api.h"
#include "nnq/transfer.h"

namespace nnq::cli {

struct TransferPlot {
  std::string svg;
  std::vector<double> levels;  // distinct values, ascending; empty when there are too many to mark
};

/// Value and gradient of one method over the values it is given, its levels as dashed lines. Throws nnq::Error for what
/// the method does not serve.
TransferPlot plot_transfer(const MethodInfo& info, const TransferRequest& request);

/// KEY=VALUE texts of --set. Throws nnq::Error for a text without key.
std::map<std::string, std::string> parse_parameters(const std::vector<std::string>& texts);

}  // namespace nnq::cli
