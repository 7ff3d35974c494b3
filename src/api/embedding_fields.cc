#include "api/embedding_fields.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/api_error.h"
#include "api/request_fields.h"

namespace slora {
namespace {

Result<Prompt> text_to_embed(const std::string& place, const Json& value) {
  const Json* text = value.is_object() ? find_member(value, "text") : &value;
  if (text == nullptr || !text->is_string()) return expected_at(place, "a string, or an object with \"text\"", value);
  return Prompt(text->get<std::string>());
}

Result<std::vector<Prompt>> texts_to_embed(const std::string& place, const Json& value) {
  std::vector<Prompt> texts;
  if (!value.is_array()) {
    Result<Prompt> text = text_to_embed(place, value);
    if (!text) return forward_error(text);
    texts.push_back(std::move(*text));
    return texts;
  }
  if (value.empty() || value.size() > kEmbeddingInputsMax)
    return field_error(place, "{}: expected 1 to {} texts, found {}", place, kEmbeddingInputsMax, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<Prompt> text = text_to_embed(fmt::format("{}[{}]", place, i), value[i]);
    if (!text) return forward_error(text);
    texts.push_back(std::move(*text));
  }
  return texts;
}

}  // namespace

Status read_embedding_input(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  return read_prompts(spec, place, value, vocabulary_size, kEmbeddingInputsMax);
}

Json embedding_input_schema(std::int32_t vocabulary_size) {
  Json schema = prompt_schema(vocabulary_size);
  for (Json& form : schema["anyOf"]) {
    if (form.contains("maxItems")) form["maxItems"] = kEmbeddingInputsMax;
  }
  return schema;
}

Status read_encoding_format(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (value != "float" && value != "base64") return expected_at(place, "\"float\" or \"base64\"", value);
  spec.embedding.form = value == "float" ? EmbeddingForm::numbers : EmbeddingForm::base64;
  return {};
}

Json encoding_format_schema(std::int32_t) { return {{"enum", {"float", "base64"}}}; }

Status read_pooling(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (value != "last" && value != "mean") return expected_at(place, "\"last\" or \"mean\"", value);
  spec.embedding.pooling = value == "last" ? Pooling::last : Pooling::mean;
  return {};
}

Json pooling_schema(std::int32_t) { return {{"enum", {"last", "mean"}}}; }

Status read_queries(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!spec.embedding.queries.empty()) return field_error(place, "{}: expected one of text_1 and queries, found both", place);
  Result<std::vector<Prompt>> texts = texts_to_embed(place, value);
  if (!texts) return forward_error(texts);
  spec.embedding.queries = std::move(*texts);
  return {};
}

Status read_documents_to_score(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!spec.prompt.given.empty()) return field_error(place, "{}: expected one of text_2 and documents, found both", place);
  Result<std::vector<Prompt>> texts = texts_to_embed(place, value);
  if (!texts) return forward_error(texts);
  spec.prompt.given = std::move(*texts);
  spec.prompt.field = place;
  return {};
}

Json embedding_texts_schema(std::int32_t vocabulary_size) {
  const Json text = {{"type", "string"}};
  const Json object = {{"type", "object"}, {"properties", {{"text", text}}}, {"required", Json::array({"text"})}};
  const Json one = {{"anyOf", Json::array({embedding_text_schema(vocabulary_size), object})}};
  return {
      {"anyOf", Json::array({text, object, Json{{"type", "array"}, {"items", one}, {"minItems", 1}, {"maxItems", kEmbeddingInputsMax}}})}};
}

Status read_query(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_string()) return expected_at(place, "a string", value);
  spec.embedding.queries = {Prompt(value.get<std::string>())};
  return {};
}

Json embedding_text_schema(std::int32_t) { return {{"type", "string"}}; }

Status check_embedding(const RequestSpec& spec) {
  if (spec.endpoint == Endpoint::embeddings) return {};
  const std::string queries_field = spec.endpoint == Endpoint::rerank ? "query" : "queries";
  const std::size_t queries = spec.embedding.queries.size(), documents = spec.prompt.given.size();
  if (queries == 0) return field_error(queries_field, "{}: this field is needed", queries_field);
  if (queries != 1 && queries != documents)
    return field_error(queries_field, "{}: expected one text, or as many as the {} of {}, found {}", queries_field, documents,
                       spec.prompt.field, queries);
  if (queries + documents <= kEmbeddingInputsMax) return {};
  return field_error(spec.prompt.field, "{}: expected at most {} texts in all, found {}", spec.prompt.field, kEmbeddingInputsMax,
                     queries + documents);
}

void complete_embedding(RequestSpec& spec) {
  std::vector<Prompt> queries = std::exchange(spec.embedding.queries, {});
  spec.embedding.query_count = queries.size();
  spec.prompt.given.insert(spec.prompt.given.begin(), std::make_move_iterator(queries.begin()), std::make_move_iterator(queries.end()));
  spec.output.max_tokens = 0;
  spec.output.echo = spec.endpoint == Endpoint::rerank && spec.embedding.return_documents;
  spec.given.temperature = 0;  // of the token that is drawn and dropped
}

}  // namespace slora
