#include "api/embedding_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <iterator>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "api/json_text.h"

namespace slora {
namespace {

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// 0 for a vector without a direction.
double cosine(std::span<const float> a, std::span<const float> b) {
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

// What the client wants of a hidden state.
std::vector<float> finished(const std::vector<float>& hidden, const EmbeddingSpec& spec) {
  std::vector<float> embedding = hidden;
  if (spec.dimensions) embedding.resize(static_cast<std::size_t>(*spec.dimensions));
  const double length = spec.normalize ? std::sqrt(dot(embedding, embedding)) : 0;
  if (length > 0) {
    for (float& number : embedding) number = static_cast<float>(static_cast<double>(number) / length);
  }
  return embedding;
}

void append_base64(std::string& out, std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(bytes.size() - i, 3);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
}

void append_embedding(std::string& out, const std::vector<float>& embedding, EmbeddingForm form) {
  static_assert(std::endian::native == std::endian::little, "clients read little-endian numbers");
  if (form == EmbeddingForm::base64) {
    out += '"';
    append_base64(out, std::as_bytes(std::span(embedding)));
    out += '"';
    return;
  }
  append_json_list(out, embedding, [&](float number) { fmt::format_to(std::back_inserter(out), "{}", number); });
}

std::string usage_of_prompts(const Answer& answer) {
  const std::int64_t tokens = answer.usage().prompt_tokens;
  return fmt::format(R"("usage":{{"prompt_tokens":{},"total_tokens":{}}})", tokens, tokens);
}

std::vector<double> scores_of(const Answer& answer) {
  const std::size_t queries = answer.request.spec.embedding.query_count;
  std::vector<double> scores(answer.choices.size() - queries);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = cosine(answer.choices[queries == 1 ? 0 : i].embedding, answer.choices[queries + i].embedding);
  }
  return scores;
}

// The members "results": the documents with the highest scores.
std::string results_of(const Answer& answer) {
  const EmbeddingSpec& spec = answer.request.spec.embedding;
  const std::vector<double> scores = scores_of(answer);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t index) { return scores[index]; });
  if (spec.top_n.value_or(0) > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(*spec.top_n)));
  std::string out = R"("results":)";
  append_json_list(out, order, [&](std::size_t index) {
    out += fmt::format(R"({{"index":{},"relevance_score":{})", index, scores[index]);
    if (spec.return_documents) {
      out += R"(,"document":{"text":)";
      append_json_string(out, answer.choices[spec.query_count + index].text);
      out += "}";
    }
    out += "}";
  });
  return out;
}

}  // namespace

EmbeddingFormat::EmbeddingFormat(const PreparedRequest&, AnswerLabel label) : label_(label) {}

std::string EmbeddingFormat::body(const Answer& answer) const {
  const RequestSpec& spec = answer.request.spec;
  const auto head = [&](std::string_view kind) {
    std::string out =
        fmt::format(R"({{"id":"{}-{:016x}","object":"list","created":{},"model":)", kind, label_.random, label_.created_seconds);
    append_json_string(out, answer.request.model_name);
    return out + ",";
  };
  if (spec.endpoint == Endpoint::rerank) return head("rerank") + results_of(answer) + "," + usage_of_prompts(answer) + "}";
  std::string out;
  std::size_t index = 0;
  if (spec.endpoint == Endpoint::score) {
    out = head("score") + R"("data":)";
    append_json_list(out, scores_of(answer),
                     [&](double score) { out += fmt::format(R"({{"index":{},"object":"score","score":{}}})", index++, score); });
  } else {
    out = head("embd") + R"("data":)";
    append_json_list(out, answer.choices, [&](const AnsweredChoice& choice) {
      out += fmt::format(R"({{"object":"embedding","index":{},"embedding":)", index++);
      append_embedding(out, finished(choice.embedding, spec.embedding), spec.embedding.form);
      out += "}";
    });
  }
  return out + "," + usage_of_prompts(answer) + "}";
}

}  // namespace slora
