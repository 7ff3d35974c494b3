#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/workload/trace.h"

namespace slora::bench {

struct LoggedRequest {
  double time = 0;         // in any unit
  std::int32_t model = 0;  // index into RequestLog::models
  std::int32_t input_tokens = 1, output_tokens = 1;
};

// What users asked of several models, such as the conversations of Chatbot Arena.
struct RequestLog {
  std::vector<std::string> models;  // those with most requests first, equal ones by name
  std::vector<LoggedRequest> requests;
  std::size_t multi_turn_count = 0;  // conversations of several turns, which were left out
  std::size_t estimated_count = 0;   // requests whose lengths were estimated from their text
};

// Reads a file of JSON lines, one request a line. Its fields, the first of those named:
//   tstamp, timestamp              when it came: a number
//   model, model_a                 which model was asked
//   input_tokens, output_tokens    lengths, if the file has them; else from one of
//   conversation, conversation_a   [{"role": ..., "content": question}, {"role": ..., "content": answer}]; longer ones are left out
//   prompt, response               the texts
// A text of n bytes counts as n / 4 tokens. Errors name the file, the line and the field.
[[nodiscard]] Result<RequestLog> read_request_log(const std::string& path);

struct ReplayOptions {
  double rate = 2;                 // R
  double seconds = 300;            // D
  std::int32_t adapter_count = 0;  // at most; models beyond share adapters in rotation; 0: one for each model
  std::int32_t tokens_max = 511;   // longer questions and answers are left out
  std::uint64_t seed = 42;
};

// The recipe of the S-LoRA paper's section 7.3: draws R x D requests of the log without replacement, maps their times linearly to [0, D],
// and takes the models for adapters, the most asked first. E_WORKLOAD when the log has too few, or all at one time.
[[nodiscard]] Result<Trace> replay_log(const RequestLog& log, const ReplayOptions& options);

}  // namespace slora::bench
