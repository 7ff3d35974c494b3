#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "formats/tokenizer_file.h"
#include "text/answer_families.h"
#include "text/answer_format.h"
#include "text/tokenizer.h"

namespace slora {

// Names of families instead of those that are found in the templates; "none" for none, empty: as found.
struct AnswerFormChoice {
  std::string calls, reasoning;
};

// The error "bad_option" names the option and lists the names that are known.
[[nodiscard]] Status check_answer_forms(const AnswerFormChoice& choice);

// How the answers of a model or an adapter are taken apart. A model whose form of calls is not known writes none by itself that could be
// told from text, but forced ones can have any form: then only answers with forced calls are read in that form. Const; shared by requests.
struct AnswerForms {
  std::shared_ptr<const AnswerFormat> format;         // that free answers are read in; null: they are content and nothing else
  std::shared_ptr<const AnswerFormat> forced_format;  // that answers with forced calls are read in; null: calls can't be forced
  const AnswerFamily* calls = nullptr;                // what forced calls are written like; null with `forced_format`
  const AnswerFamily* reasoning = nullptr;            // how reasoning is marked; null: there is none
  bool is_own = false;                                // `format` is the model's own, not that of the families

  // Whether calls are found in free answers.
  [[nodiscard]] bool finds_calls() const { return format != nullptr && format->has(AnswerField::Role::calls); }
};

// Those that the files ask for: their own `response_template` if they have one, else the families that their templates belong to. A
// `response_template` that can't be used is an error of E_ANSWER_FORMAT. `base`: of which equal ones are shared; may be null.
[[nodiscard]] Result<AnswerForms> answer_forms_of(const TokenizerFiles& files, const Tokenizer& tokenizer, const AnswerFormChoice& choice,
                                                  const AnswerForms* base);

// What a prompt has of the answer: all after the last place where the model's own format says that answers begin; else an opening mark of
// reasoning at its end, as templates of reasoning models write it.
[[nodiscard]] std::string answer_begin_in(const AnswerFormat& format, std::string_view prompt);

}  // namespace slora
