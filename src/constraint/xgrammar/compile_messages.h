#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "constraint/constraint.h"
#include "constraint/vocabulary.h"

namespace slora {

// What goes to the process that compiles and back. Both sides are of one build; a message that can't be read is a bug or a lost process.
[[nodiscard]] std::string message_of(const ConstraintVocabulary& vocabulary);
[[nodiscard]] Result<ConstraintVocabulary> vocabulary_of(std::string_view message);
[[nodiscard]] std::string message_of(const ConstraintSpec& spec);
[[nodiscard]] Result<ConstraintSpec> spec_of(std::string_view message);

// The serialised form, or why there is none.
[[nodiscard]] std::string message_of(const Result<std::string>& compiled);
[[nodiscard]] Result<std::string> compiled_of(std::string_view message);

}  // namespace slora
