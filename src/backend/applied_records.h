#pragma once
#include <vector>

#include "backend/op_args.h"

namespace slora {

// The records of a batch at one site as kernels take them, in the order of the segments and of their records. Replaces `out`,
// which keeps its room from call to call.
void find_applied_records(std::vector<AppliedRecord>& out, const AdapterBatch& adapters, Site site);

}  // namespace slora
