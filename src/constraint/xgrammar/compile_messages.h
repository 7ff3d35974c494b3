#pragma once
#include <cstddef>
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

// A form that was compiled, as the library serialises it.
struct SerialisedForm {
  std::string text;
  std::size_t bytes = 0;  // of memory that it holds when it is read
};

// The form, or why there is none.
[[nodiscard]] std::string message_of(const Result<SerialisedForm>& compiled);
[[nodiscard]] Result<SerialisedForm> compiled_of(std::string_view message);

}  // namespace slora
