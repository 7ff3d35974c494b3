#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/model_text.h"
#include "train/sample.h"
#include "train/sample_maker.h"

namespace slora {

// The files that --data means: a JSONL file, or train.jsonl and maybe valid.jsonl of a folder.
struct DataFiles {
  std::string train;
  std::string eval;  // empty: none
};
// E_NO_FILE.
[[nodiscard]] Result<DataFiles> find_data_files(const std::string& path);

// All samples of a file, in its order, and what was counted on the way. Constant after it was read.
struct TrainingData {
  std::vector<Sample> samples;
  SampleCounts counts;
  std::int64_t line_count = 0;   // without those of white space
  std::int64_t token_count = 0;  // of the samples
  std::int64_t label_count = 0;
  std::map<std::string, std::int64_t> unknown_keys;  // and on how many lines each stood; at most kUnknownKeysMax of them
};

inline constexpr std::size_t kUnknownKeysMax = 64;

// Bytes that were read, and all.
using ReadProgress = std::function<void(std::uint64_t, std::uint64_t)>;

// Reads a file line by line. The first line that can't be used ends it with E_DATA or E_BAD_JSON, the file's name and the line's number; so
// does a file without samples, or one that loses more than half of them. `progress` may be empty.
[[nodiscard]] Result<TrainingData> read_training_data(const std::string& path, const ModelText& text, std::size_t tokens_max,
                                                      const ReadProgress& progress);

}  // namespace slora
