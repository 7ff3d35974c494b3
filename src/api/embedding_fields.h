#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

inline constexpr std::size_t kEmbeddingInputsMax = 2048;

// Readers and schemas, as in request_fields.h, of the fields that only endpoints of embeddings have.

Status read_embedding_input(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json embedding_input_schema(std::int32_t vocabulary_size);
// "float" or "base64".
Status read_encoding_format(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json encoding_format_schema(std::int32_t vocabulary_size);
// "last" or "mean".
Status read_pooling(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json pooling_schema(std::int32_t vocabulary_size);
// One text, or a list of them or of objects with "text".
Status read_queries(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Status read_documents_to_score(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json embedding_texts_schema(std::int32_t vocabulary_size);
// One text.
Status read_query(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size);
Json embedding_text_schema(std::int32_t vocabulary_size);

// Rules that involve several of them.
Status check_embedding(const RequestSpec& spec);
// Once all fields are read: the prompts are those of the queries and then of the documents, and no output is wanted.
void complete_embedding(RequestSpec& spec);

}  // namespace slora
