// The transfer function of a quantizer by itself (include/nnq/transfer.h).
#pragma once

#include "nnq/transfer.h"

namespace nnq::methods {

TransferCurve transfer_curve(const TransferRequest& request);

}  // namespace nnq::methods
