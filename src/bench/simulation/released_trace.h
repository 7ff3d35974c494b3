#pragma once
#include "base/result.h"
#include "bench/workload/workload.h"

namespace slora::bench {

// The requests of S-LoRA's published runs themselves: what benchmarks/trace.py of its repository generates with NumPy's legacy random
// numbers for the seed (the runs had 42), where WorkloadKind::slora_release only has their distribution. Libraries may
// differ in the last bit of pow and log, and arrivals with them.
// Requires: kind slora_release, one client, cv >= 1. Errors are those of make_workload.
[[nodiscard]] Result<Trace> make_released_trace(const WorkloadOptions& options);

}  // namespace slora::bench
