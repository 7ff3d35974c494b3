#pragma once
#include <string>

#include "base/result.h"
#include "bench/workload/trace.h"

namespace slora::bench {

// A trace as a file of JSON lines, so that any server can be driven by the same requests. Its first line is
//   {"trace": 1, "adapters": N, "seconds": S}
// and each other line a request, by arrival:
//   {"arrival": 0.53, "adapter": 3, "client": 0, "input_tokens": 37, "output_tokens": 200}
// `adapter` is -1 for the base model. Numbers are written so that they are read back to the same bits.
[[nodiscard]] Status write_trace(const std::string& path, const Trace& trace);
// Errors name the file, the line and the field.
[[nodiscard]] Result<Trace> read_trace(const std::string& path);

}  // namespace slora::bench
