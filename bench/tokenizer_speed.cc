// How fast a tokenizer loads and encodes on one thread, by its processor time. Medians of five.
//   tokenizer_speed TOKENIZER_JSON TEXT_FILE
// The text is encoded whole, and once more in pieces of about 4 KiB that end at lines, as prompts come. bench/tokenizer_speed.py runs this
// beside the `tokenizers` package.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "text/tokenizer.h"

namespace slora::bench {
namespace {

constexpr std::size_t kFileBytesMax = std::size_t{64} << 20;
constexpr std::size_t kPieceBytes = 4096;

template <class Work>
double median_seconds(const Work& work) {
  std::array<double, 5> seconds{};
  for (double& entry : seconds) {
    const std::clock_t begin = std::clock();
    work();
    entry = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

std::vector<std::string_view> pieces_of(std::string_view text) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t end = text.find('\n', kPieceBytes - 1);
    pieces.push_back(text.substr(0, end == std::string_view::npos ? end : end + 1));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

int run(const std::string& tokenizer_path, const std::string& text_path) {
  const auto refuse = [](const Error& why) {
    fmt::print(stderr, "{}\n", why.message);
    return 1;
  };
  Result<std::shared_ptr<const Tokenizer>> tokenizer;
  const double load_seconds = median_seconds([&] {
    const Result<Json> json = read_json_file(tokenizer_path, JsonLimits{.bytes_max = kFileBytesMax});
    tokenizer = json ? Tokenizer::from_json(*json) : Result<std::shared_ptr<const Tokenizer>>(tl::unexpected<Error>(json.error()));
  });
  if (!tokenizer) return refuse(tokenizer.error());
  const Result<std::string> text = read_text_file(text_path, kFileBytesMax);
  if (!text) return refuse(text.error());

  std::size_t tokens_whole = 0;
  std::size_t tokens_pieces = 0;
  const double whole_seconds = median_seconds([&] { tokens_whole = (*tokenizer)->encode(*text, SpecialTokens::omit).value().size(); });
  const std::vector<std::string_view> pieces = pieces_of(*text);
  const double pieces_seconds = median_seconds([&] {
    tokens_pieces = 0;
    for (const std::string_view piece : pieces) tokens_pieces += (*tokenizer)->encode(piece, SpecialTokens::omit).value().size();
  });
  const double megabytes = static_cast<double>(text->size()) / 1e6;
  fmt::print(R"({{"load_ms": {:.1f}, "whole_mb_per_s": {:.2f}, "pieces_mb_per_s": {:.2f}, "tokens": [{}, {}]}})"
             "\n",
             load_seconds * 1e3, megabytes / whole_seconds, megabytes / pieces_seconds, tokens_whole, tokens_pieces);
  return 0;
}

}  // namespace
}  // namespace slora::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: tokenizer_speed TOKENIZER_JSON TEXT_FILE\n");
    return 2;
  }
  return slora::bench::run(argv[1], argv[2]);
}
