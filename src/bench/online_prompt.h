#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bench/traffic_request.h"
#include "bench/workload/trace.h"

namespace slora::bench {

enum class PromptForm : std::uint8_t {
  ids,   // token ids, so that a prompt has exactly its length
  text,  // common words, about a token each, for servers that take no ids
};

// How the requests of a trace, which has lengths only, are written out.
struct PromptOptions {
  PromptForm form = PromptForm::ids;
  std::int32_t vocabulary = 32000;    // ids are below
  std::uint64_t seed = 42;            // of the prompts; a server that has seen them answers from its prefix cache
  std::vector<std::string> adapters;  // names by index
};

// The request with this index in the trace. Its prompt is random, and so shared with no other. Requires: a name for its adapter.
[[nodiscard]] TrafficRequest online_request(const PromptOptions& options, const TraceRequest& request, std::size_t index);

// A short request that shows whether the server takes such requests at all: its prompt is the highest id.
[[nodiscard]] TrafficRequest probe_request(const PromptOptions& options);

}  // namespace slora::bench
