#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "text/tokenizer.h"
#include "train/sample.h"
#include "train/training_data.h"

namespace slora {

// What stands before and after the tokens that are learned.
struct LabelMarks {
  std::string_view begin = "\u27E6", end = "\u27E7";
};

// A sample as text, with what is learned of it between the marks. Long parts are shown by their beginning and end; control characters other
// than line breaks and tabs as their numbers.
[[nodiscard]] std::string shown_sample(const Sample& sample, const Tokenizer& tokenizer, const LabelMarks& marks);

// What was read of a file, a line for each: samples, tokens, labels, what was lost, keys that are not known. `tokens_max`: of a sample.
[[nodiscard]] std::string data_summary(const TrainingData& data, std::string_view name, std::size_t tokens_max);

}  // namespace slora
