#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/ids.h"
#include "base/result.h"

namespace slora {

// What a form is written in.
enum class ConstraintKind : std::uint8_t {
  json_schema,     // `text` is a JSON schema
  regex,           // `text` is a regular expression that the whole answer matches
  choice,          // `text` is a JSON list of strings, one of which is the answer
  grammar,         // `text` is a grammar in EBNF whose first rule is "root"
  structural_tag,  // `text` is an object as xgrammar's structural tags have it: free text with tags in it that have a form
};

// A form that an answer must have.
struct ConstraintSpec {
  ConstraintKind kind = ConstraintKind::json_schema;
  std::string text;
  bool any_whitespace = true;                  // of JSON, between its tokens; false: none but what separators need
  bool disable_additional_properties = false;  // of JSON schemas: objects have the listed properties only
  friend bool operator==(const ConstraintSpec&, const ConstraintSpec&) = default;
};

// Which tokens one sequence may continue with, given those it has. Used by one thread at a time.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Sets bit t % 32 of word t / 32 for each token t that may come next, and clears all others. [ceil(vocabulary / 32)] words, where the
  // vocabulary may be wider than the one it was compiled for: tokens above are never allowed. An end token is allowed where the answer may
  // end. Error "constraint_too_costly": it would take too long.
  [[nodiscard]] virtual Status fill(std::span<std::uint32_t> allowed) = 0;
  // The token that comes next. Error "constraint_violated" when it is not allowed, and as fill().
  [[nodiscard]] virtual Status accept(TokenId token) = 0;
  // Whether nothing but an end may follow.
  [[nodiscard]] virtual bool is_complete() const = 0;
};

// A form as it was compiled for one vocabulary. Const; any thread.
class CompiledConstraint {
 public:
  virtual ~CompiledConstraint() = default;
  // The constraint of a sequence that has no token yet.
  [[nodiscard]] virtual std::unique_ptr<TokenConstraint> start() const = 0;
};

// Compiles forms for the vocabulary of one tokenizer. Any thread.
class ConstraintCompiler {
 public:
  virtual ~ConstraintCompiler() = default;
  // Blocks while it compiles, for a bounded time, in bounded memory. Errors "bad_constraint" (what is wrong with the text, and where),
  // "unsupported_constraint" (what it asks for can't be kept, and is named), "constraint_too_costly",
  // "constraints_busy" (there is no memory for it now). `end_tokens`: those of the model and of the adapter that answers. `client`: whose
  // share of the memory it takes.
  [[nodiscard]] virtual Result<std::shared_ptr<const CompiledConstraint>> compile(const ConstraintSpec& spec,
                                                                                  std::span<const TokenId> end_tokens, ClientId client) = 0;
  // The same at once; null where it has to be compiled first.
  [[nodiscard]] virtual std::shared_ptr<const CompiledConstraint> find(const ConstraintSpec& spec, std::span<const TokenId> end_tokens) = 0;
};

}  // namespace slora
