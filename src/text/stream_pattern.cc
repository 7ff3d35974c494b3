#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/stream_pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace slora {
namespace {

// A search runs once for each token of an answer, on the thread of all answers.
constexpr std::uint32_t kSearchMatchLimit = 50'000;
constexpr std::uint32_t kSearchDepthLimit = 5'000;
constexpr std::uint32_t kSearchHeapKibibytesMax = 4 << 10;
constexpr std::size_t kStreamPatternBytesMax = 8 << 10;

struct ReleaseSearch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

void StreamPattern::Release::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Result<StreamPattern> StreamPattern::compile(std::string_view pattern) {
  std::string literal_text;
  std::ranges::copy_if(pattern, std::back_inserter(literal_text), [](char c) { return c != '\\'; });
  return make(pattern, std::move(literal_text));
}

Result<StreamPattern> StreamPattern::compile_literals(std::span<const std::string> texts) {
  std::vector<std::string> ordered(texts.begin(), texts.end());
  std::ranges::stable_sort(ordered, std::ranges::greater{}, &std::string::size);
  std::string pattern, literal_text;
  for (const std::string& text : ordered) {
    pattern += pattern.empty() ? "" : "|";
    literal_text += text + '\n';
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      const bool is_plain = byte >= 0x80 || byte < 0x20 || (std::isalnum(byte) != 0);
      if (!is_plain) pattern += '\\';
      pattern += c;
    }
  }
  return make(pattern, std::move(literal_text));
}

Result<StreamPattern> StreamPattern::make(std::string_view pattern, std::string literal_text) {
  if (pattern.size() > kStreamPatternBytesMax) {
    return error("E_ANSWER_FORMAT", "expected a pattern of at most {} bytes, found {}", kStreamPatternBytesMax, pattern.size());
  }
  int code = 0;
  PCRE2_SIZE offset = 0;
  constexpr std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &code, &offset, nullptr);
  if (compiled == nullptr) {
    std::array<PCRE2_UCHAR, 160> message{};
    pcre2_get_error_message(code, message.data(), message.size());
    return error("E_ANSWER_FORMAT", "pattern \"{}\", byte {}: {}", pattern, offset, reinterpret_cast<const char*>(message.data()));
  }
  StreamPattern result;
  result.code_ = std::shared_ptr<const pcre2_code>(compiled, Release{});
  result.literal_text_ = std::move(literal_text);
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);  // without it matching is slower and gives the same
  std::uint32_t name_count = 0, entry_bytes = 0;
  PCRE2_SPTR names = nullptr;
  pcre2_pattern_info(compiled, PCRE2_INFO_NAMECOUNT, &name_count);
  pcre2_pattern_info(compiled, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
  pcre2_pattern_info(compiled, PCRE2_INFO_NAMETABLE, &names);
  for (std::uint32_t i = 0; i < name_count; ++i, names += entry_bytes) {
    const std::uint32_t number = (std::uint32_t{names[0]} << 8) | names[1];
    result.groups_.emplace(reinterpret_cast<const char*>(names + 2), number);
  }
  return result;
}

std::optional<StreamPattern::Match> StreamPattern::find(std::string_view text, std::size_t from, Place place) const {
  const std::unique_ptr<pcre2_match_data, ReleaseSearch> data(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  const std::unique_ptr<pcre2_match_context, ReleaseSearch> context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), kSearchMatchLimit);
  pcre2_set_depth_limit(context.get(), kSearchDepthLimit);
  pcre2_set_heap_limit(context.get(), kSearchHeapKibibytesMax);
  const std::uint32_t options =
      PCRE2_NO_UTF_CHECK | (place.is_complete ? 0U : PCRE2_PARTIAL_HARD) | (place.is_at_start ? 0U : PCRE2_NOTBOL);
  while (from <= text.size()) {
    const int found =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, options, data.get(), context.get());
    if (found < 0 && found != PCRE2_ERROR_PARTIAL) return std::nullopt;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    Match match{bounds[0], std::max(bounds[0], bounds[1]), found == PCRE2_ERROR_PARTIAL, {}};
    if (match.end - match.begin > kMatchBytesMax) {
      from = match.begin + first_utf8_unit(text.substr(match.begin)).bytes;
      continue;
    }
    for (const auto& [name, number] : groups_) {
      if (match.is_partial || bounds[2 * number] == PCRE2_UNSET) continue;
      match.groups.emplace(name, text.substr(bounds[2 * number], bounds[2 * number + 1] - bounds[2 * number]));
    }
    return match;
  }
  return std::nullopt;
}

}  // namespace slora
