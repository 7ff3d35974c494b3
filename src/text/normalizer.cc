#include "text/normalizer.h"

#include <nlohmann/json.hpp>

#include "text/byte_level.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace slora {

Result<Normalizer> Normalizer::from_json(const Json& tokenizer_json) {
  Result<const Json*> part = part_at(tokenizer_json, "normalizer");
  if (!part) return forward_error(part);
  Normalizer normalizer;
  if (*part != nullptr) {
    if (Status status = normalizer.add(**part, "normalizer"); !status) return forward_error(status);
  }
  return normalizer;
}

Result<std::string> Normalizer::apply(std::string text) const {
  for (const Step& step : steps_) {
    Result<std::string> rewritten = std::visit([&](const auto& kind) { return run(kind, std::move(text)); }, step);
    if (!rewritten) return rewritten;
    text = std::move(*rewritten);
  }
  return text;
}

Status Normalizer::add(const Json& step, const std::string& path) {
  Result<std::string> type = type_at(step, path);
  if (!type) return forward_error(type);
  if (*type == "Sequence") {
    return add_steps(step, "normalizers", path, [this](const Json& member, const std::string& at) { return add(member, at); });
  }
  Result<Step> parsed = parse_step(step, *type, path);
  if (!parsed) return forward_error(parsed);
  steps_.push_back(std::move(*parsed));
  return {};
}

Result<Normalizer::Step> Normalizer::parse_step(const Json& step, const std::string& type, const std::string& path) {
  if (type == "NFC") return UnicodeForm::nfc;
  if (type == "NFD") return UnicodeForm::nfd;
  if (type == "NFKC") return UnicodeForm::nfkc;
  if (type == "NFKD") return UnicodeForm::nfkd;
  if (type == "Lowercase") return Lowercase{};
  if (type == "ByteLevel") return ByteLevel{};
  if (type == "Prepend") {
    Result<std::string> prefix = string_at(step, "prepend");
    if (!prefix) return forward_error(prefix);
    return Prepend{std::move(*prefix)};
  }
  if (type == "Replace") {
    Result<Regex> pattern = pattern_at(step, path);
    if (!pattern) return forward_error(pattern);
    Result<std::string> content = string_at(step, "content");
    if (!content) return forward_error(content);
    return Replace{std::move(*pattern), std::move(*content)};
  }
  if (type == "Strip") {
    Result<bool> left = flag_at(step, "strip_left", std::nullopt);
    if (!left) return forward_error(left);
    Result<bool> right = flag_at(step, "strip_right", std::nullopt);
    if (!right) return forward_error(right);
    return Strip{*left, *right};
  }
  return unsupported_step(path, type);
}

Result<std::string> Normalizer::run(const UnicodeForm& step, std::string text) { return to_unicode_form(text, step); }

Result<std::string> Normalizer::run(const Prepend& step, std::string text) { return text.empty() ? std::move(text) : step.prefix + text; }

Result<std::string> Normalizer::run(const Replace& step, std::string text) {
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  const Status found = step.pattern.visit_all(text, [&](const TextRange& match) {
    out.append(text, copied, match.begin - copied);
    out += step.content;
    copied = match.end;
  });
  if (!found) return tl::unexpected<Error>(found.error());
  return out.append(text, copied);
}

Result<std::string> Normalizer::run(const Strip& step, std::string text) {
  std::string_view rest = text;
  if (step.left) rest.remove_prefix(leading_white_space(rest));
  if (step.right) rest.remove_suffix(trailing_white_space(rest));
  return std::string(rest);
}

Result<std::string> Normalizer::run(const Lowercase&, std::string text) { return to_lower_case(text); }

Result<std::string> Normalizer::run(const ByteLevel&, std::string text) { return to_byte_level(text); }

}  // namespace slora
