#include "train/training_data.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "formats/file.h"
#include "train/data_line.h"
#include "train/line_reader.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

Status add_line(TrainingData& data, SampleMaker& maker, std::string_view text, std::int64_t number, std::int32_t vocabulary_size) {
  const Result<DataLine> line = parse_data_line(text, vocabulary_size);
  if (!line) return tl::unexpected(line.error());
  Result<std::vector<Sample>> samples = maker.make(*line);
  if (!samples) return forward_error(samples);
  ++data.line_count;
  for (const std::string& key : line->unknown_keys) {
    if (data.unknown_keys.size() < kUnknownKeysMax || data.unknown_keys.contains(key)) ++data.unknown_keys[key];
  }
  for (Sample& sample : *samples) {
    sample.line = number;
    data.token_count += static_cast<std::int64_t>(sample.tokens.size());
    data.label_count += std::ranges::count(sample.labels, true);
    data.samples.push_back(std::move(sample));
  }
  return {};
}

Status check_losses(const TrainingData& data, std::string_view name, std::size_t tokens_max) {
  const auto kept = static_cast<std::int64_t>(data.samples.size());
  const SampleCounts& counts = data.counts;
  if (data.line_count == 0) return error("E_DATA", "{}: expected samples, found no line that is more than white space", name);
  if (counts.lost() <= kept) return {};
  return error(
      "E_DATA",
      "{}: of {} samples {} have nothing to learn: expected at most half. In {} all labels come after the first {} tokens, which are "
      "kept (--max-length); {} have none, as conversations without an answer",
      name, counts.lost() + kept, counts.lost(), counts.lost_by_truncation, tokens_max, counts.without_labels);
}

}  // namespace

Result<DataFiles> find_data_files(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return DataFiles{path, {}};
  DataFiles files{(fs::path(path) / "train.jsonl").string(), (fs::path(path) / "valid.jsonl").string()};
  if (!fs::exists(files.train, ignored)) return error("E_NO_FILE", "{}: expected a file train.jsonl in this folder, found none", path);
  if (!fs::exists(files.eval, ignored)) files.eval.clear();
  return files;
}

Result<TrainingData> read_training_data(const std::string& path, const ModelText& text, std::size_t tokens_max,
                                        const ReadProgress& progress) {
  Result<LineReader> reader = LineReader::open(path);
  if (!reader) return forward_error(reader);
  const std::string name(file_name(path));
  TrainingData data;
  SampleMaker maker(text, tokens_max);
  for (;;) {
    const Result<std::optional<std::string_view>> line = reader->next();
    if (!line) return error(line.error().code, "{}: {}", name, line.error().message);
    if (!*line) break;
    if (Status added = add_line(data, maker, **line, reader->number(), text.vocabulary_size); !added) {
      return tl::unexpected(Error{added.error().code, fmt::format("{}, line {}: {}", name, reader->number(), added.error().message), {}});
    }
    if (progress) progress(reader->bytes_read(), reader->bytes());
  }
  data.counts = maker.counts();
  if (Status kept = check_losses(data, name, tokens_max); !kept) return forward_error(kept);
  return data;
}

}  // namespace slora
