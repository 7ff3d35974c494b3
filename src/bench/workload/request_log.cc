#include "bench/workload/request_log.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "bench/workload/json_lines.h"
#include "bench/workload/random_numbers.h"
#include "bench/workload/workload.h"

namespace slora::bench {
namespace {

constexpr std::size_t kBytesPerToken = 4;  // of English text, about

struct Member {
  std::string_view key;
  const Json* value = nullptr;
};

Result<Member> first_member(const Json& object, std::string_view one, std::string_view other) {
  for (const std::string_view key : {one, other}) {
    if (const Json* value = find_member(object, key)) return Member{key, value};
  }
  return error("E_TRACE", "{}: missing, as is {}", one, other);
}

std::int32_t estimated_tokens(const std::string& text) {
  const std::size_t tokens = (text.size() + kBytesPerToken - 1) / kBytesPerToken;
  return static_cast<std::int32_t>(std::clamp<std::size_t>(tokens, 1, kTraceTokensMax));
}

Result<std::int32_t> token_count_at(const Json& object, std::string_view key) {
  const Result<std::int64_t> count = integer_at(object, key);
  if (!count) return tl::unexpected(count.error());
  if (*count >= 0 && *count <= kTraceTokensMax) return static_cast<std::int32_t>(std::max<std::int64_t>(*count, 1));
  return error("E_TRACE", "{}: expected a number of tokens up to {}, found {}", key, kTraceTokensMax, *count);
}

// Question and answer; nothing when there are further turns.
Result<std::optional<std::pair<std::string, std::string>>> turns_of(const Member& conversation) {
  if (!conversation.value->is_array()) {
    return error("E_TRACE", "{}: expected a list of messages, found {}", conversation.key, type_name(*conversation.value));
  }
  if (conversation.value->size() != 2) return std::nullopt;
  std::pair<std::string, std::string> texts;
  for (std::size_t i = 0; i < 2; ++i) {
    const Json& message = (*conversation.value)[i];
    if (!message.is_object()) return error("E_TRACE", "{}[{}]: expected an object, found {}", conversation.key, i, type_name(message));
    Result<std::string> content = string_at(message, "content");
    if (!content) return error("E_TRACE", "{}[{}]: {}", conversation.key, i, content.error().message);
    (i == 0 ? texts.first : texts.second) = std::move(*content);
  }
  return texts;
}

// Collects the requests of a log, line by line.
class LogReader {
 public:
  Status take(const Json& object) {
    LoggedRequest request;
    const Result<Member> time = first_member(object, "tstamp", "timestamp");
    if (!time) return tl::unexpected(time.error());
    if (!time->value->is_number()) return error("E_TRACE", "{}: expected a number, found {}", time->key, type_name(*time->value));
    request.time = time->value->get<double>();
    const Result<Member> model = first_member(object, "model", "model_a");
    if (!model) return tl::unexpected(model.error());
    if (!model->value->is_string()) return error("E_TRACE", "{}: expected a name, found {}", model->key, type_name(*model->value));
    const Result<bool> measured = take_lengths(request, object);
    if (!measured) return tl::unexpected(measured.error());
    if (!*measured) return {};
    const auto [found, is_new] = model_indices_.try_emplace(model->value->get<std::string>(), static_cast<std::int32_t>(counts_.size()));
    if (is_new) counts_.push_back(0);
    request.model = found->second;
    ++counts_[static_cast<std::size_t>(found->second)];
    log_.requests.push_back(request);
    return {};
  }

  RequestLog finish() {
    std::vector<std::pair<std::string, std::int32_t>> models(model_indices_.begin(), model_indices_.end());
    const auto requests_of = [&](const auto& model) { return -static_cast<std::int64_t>(counts_[static_cast<std::size_t>(model.second)]); };
    std::ranges::stable_sort(models, {}, requests_of);
    std::vector<std::int32_t> places(models.size());
    for (std::size_t i = 0; i < models.size(); ++i) {
      places[static_cast<std::size_t>(models[i].second)] = static_cast<std::int32_t>(i);
      log_.models.push_back(models[i].first);
    }
    for (LoggedRequest& request : log_.requests) request.model = places[static_cast<std::size_t>(request.model)];
    return std::move(log_);
  }

 private:
  // False: the request is left out.
  Result<bool> take_lengths(LoggedRequest& request, const Json& object) {
    if (find_member(object, "input_tokens") != nullptr) {
      const Result<std::int32_t> input = token_count_at(object, "input_tokens"), output = token_count_at(object, "output_tokens");
      if (!input || !output) return tl::unexpected((input ? output : input).error());
      request.input_tokens = *input;
      request.output_tokens = *output;
      return true;
    }
    std::pair<std::string, std::string> texts;
    if (const Result<Member> conversation = first_member(object, "conversation", "conversation_a"); conversation) {
      Result<std::optional<std::pair<std::string, std::string>>> turns = turns_of(*conversation);
      if (!turns) return tl::unexpected(turns.error());
      if (!*turns) {
        ++log_.multi_turn_count;
        return false;
      }
      texts = std::move(**turns);
    } else {
      if (find_member(object, "prompt") == nullptr) {
        return error("E_TRACE", "expected input_tokens and output_tokens, a conversation, or prompt and response; found none of them");
      }
      Result<std::string> prompt = string_at(object, "prompt"), response = string_at(object, "response");
      if (!prompt || !response) return tl::unexpected((prompt ? response : prompt).error());
      texts = {std::move(*prompt), std::move(*response)};
    }
    ++log_.estimated_count;
    request.input_tokens = estimated_tokens(texts.first);
    request.output_tokens = estimated_tokens(texts.second);
    return true;
  }

  RequestLog log_;
  std::map<std::string, std::int32_t> model_indices_;  // in the order of their appearance
  std::vector<std::size_t> counts_;                    // requests of each
};

// The first `count` of the indices are a random choice of all: the beginning of a shuffle by Fisher and Yates.
void choose(std::vector<std::size_t>& indices, std::size_t count, std::uint64_t seed) {
  RandomNumbers random(seed);
  for (std::size_t i = 0; i < count; ++i) std::swap(indices[i], indices[i + random.below(indices.size() - i)]);
  indices.resize(count);
}

}  // namespace

Result<RequestLog> read_request_log(const std::string& path) {
  LogReader reader;
  Status read = read_json_lines(path, [&](const Json& object) { return reader.take(object); });
  if (!read) return forward_error(read);
  RequestLog log = reader.finish();
  if (log.requests.empty()) return error("E_TRACE", "{}: no requests of one turn", path);
  return log;
}

Result<Trace> replay_log(const RequestLog& log, const ReplayOptions& options) {
  if (!(options.rate > 0) || !(options.seconds > 0) || options.rate * options.seconds > kTraceRequestsMax) {
    return error("E_WORKLOAD", "rate and seconds: expected at most {} requests, found {} a second for {} seconds", kTraceRequestsMax,
                 options.rate, options.seconds);
  }
  const auto count = static_cast<std::size_t>(options.rate * options.seconds);
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < log.requests.size(); ++i) {
    if (std::max(log.requests[i].input_tokens, log.requests[i].output_tokens) <= options.tokens_max) chosen.push_back(i);
  }
  if (count == 0 || chosen.size() < count) {
    return error("E_WORKLOAD", "the log: expected at least {} requests of up to {} tokens, for {} a second over {} seconds; found {}",
                 std::max<std::size_t>(count, 1), options.tokens_max, options.rate, options.seconds, chosen.size());
  }
  choose(chosen, count, options.seed);
  std::ranges::stable_sort(chosen, {}, [&](std::size_t i) { return std::pair(log.requests[i].time, i); });
  const double begin = log.requests[chosen.front()].time, span = log.requests[chosen.back()].time - begin;
  if (!(span > 0)) return error("E_WORKLOAD", "the log: expected requests at different times, found all {} at {}", count, begin);

  Trace trace;
  trace.seconds = options.seconds;
  const auto model_count = static_cast<std::int32_t>(log.models.size());
  trace.adapter_count = options.adapter_count > 0 ? std::min(options.adapter_count, model_count) : model_count;
  for (const std::size_t i : chosen) {
    const LoggedRequest& request = log.requests[i];
    const double arrival = std::min((request.time - begin) / span * options.seconds, options.seconds);
    trace.requests.push_back({arrival, request.model % trace.adapter_count, 0, request.input_tokens, request.output_tokens});
  }
  return trace;
}

}  // namespace slora::bench
