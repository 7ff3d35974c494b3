#include "bench/traffic_request.h"

#include "base/check.h"
#include "bench/workload/random_numbers.h"

namespace slora::bench {
namespace {

constexpr std::int32_t kColdInputTokens = 8, kColdOutputTokens = 1;  // short, so that they cost the streams the load, not the step
constexpr std::uint64_t kColdSeeds = std::uint64_t{1} << 31;         // above the indices of all other requests

std::vector<TokenId> random_prompt(const TrafficOptions& options, std::int32_t token_count, std::uint64_t number) {
  RandomNumbers random(options.seed << 32 | number);
  std::vector<TokenId> prompt(static_cast<std::size_t>(token_count));
  for (TokenId& token : prompt) token = static_cast<TokenId>(random.below(static_cast<std::uint64_t>(options.vocabulary)));
  return prompt;
}

}  // namespace

TrafficRequest traffic_request(const TrafficOptions& options, const std::vector<std::string>& adapters, std::size_t number) {
  const auto adapter_count = static_cast<std::size_t>(options.adapter_count);
  check(adapter_count <= adapters.size(), "expected at least adapter_count adapters");
  TrafficRequest request{random_prompt(options, options.input_tokens, number), options.output_tokens, {}, {}};
  const std::size_t index = static_cast<std::size_t>(options.seed) * static_cast<std::size_t>(options.requests) + number;
  if (adapter_count > 0) request.adapter = adapters[index % adapter_count];
  return request;
}

TrafficRequest cold_request(const TrafficOptions& options, const std::string& adapter, std::size_t number) {
  return {random_prompt(options, kColdInputTokens, kColdSeeds + number), kColdOutputTokens, adapter, {}};
}

}  // namespace slora::bench
