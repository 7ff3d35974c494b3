#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/adapter_texts.h"
#include "api/generator.h"
#include "api/model_access.h"
#include "api/model_finder.h"
#include "api/reasoning_gate.h"
#include "api/request_parser.h"
#include "api/request_spec.h"
#include "api/text_model.h"
#include "base/byte_budget.h"
#include "base/result.h"
#include "constraint/constraint.h"
#include "engine/generation.h"

namespace slora {

// A request ready for the engine. Made once, const afterwards.
struct PreparedRequest {
  struct Prompt {
    SharedTokens tokens;       // with the sequences that are made of it
    std::string echo;          // its text, when the client wants it back
    std::string answer_begin;  // of a chat: what its text has of the answer already, where that is taken apart
    std::int32_t output_tokens_max = 0;
    std::optional<std::int32_t> adapter_begin = 0;  // from which token on the adapter acts; none: in no token
  };

  RequestSpec spec;
  std::string model_name;                         // the base's or the adapter's, as the client named it
  std::shared_ptr<const AdapterVersion> adapter;  // null: the base model
  std::shared_ptr<const TextModel> text;          // how it is read and written: shared with other requests, kept for as long as it runs
  std::vector<Prompt> prompts;
  std::shared_ptr<const CompiledConstraint> constraint;  // the form of each answer, once ConstraintStep has compiled it; null: any
  std::optional<ReasoningMarks> reasoning;               // a form holds after it; none: from the start
  ByteReservation memory;                                // of all this, and of the answer as it grows
};

// From a body to a prepared request: parses, finds the adapter, renders, tokenises. The slow part of every request, so it runs on work
// threads. What it borrows outlives it. Constant after construction; any thread.
class RequestPreparer {
 public:
  RequestPreparer(std::vector<std::string> base_names, std::int32_t vocabulary_size, AdapterTexts& texts, Generator& generator);

  // All at once; waits until the adapter's folder has been looked at. A model that the caller has no access to does not exist for it, here
  // as below.
  [[nodiscard]] Result<PreparedRequest> prepare(Endpoint endpoint, std::string_view body, const ModelAccess& access = {}) const;
  // The same in steps, for threads that must not wait: reads the fields; finds the model, as ModelFinder::find(); and does the rest.
  [[nodiscard]] Result<RequestSpec> read(Endpoint endpoint, std::string_view body) const;
  [[nodiscard]] std::optional<Result<FoundModel>> find_model(const RequestSpec& spec, const ModelAccess& access, ModelFinder::Await await,
                                                             ModelFinder::Then then) const {
    return models_.find(spec, access, std::move(await), std::move(then));
  }
  [[nodiscard]] Result<PreparedRequest> finish(RequestSpec spec, FoundModel model) const;
  // Calls `then` when the folders of all these adapters were looked at, at once or on another thread.
  void await_adapters(const std::vector<std::string>& adapters, std::function<void()> then) const {
    models_.await_looks(adapters, std::move(then));
  }
  // As prepare(), from a body that is JSON already. Its texts are checked to be UTF-8.
  [[nodiscard]] Result<PreparedRequest> prepare_json(Endpoint endpoint, const Json& body) const;

  // For clients that count tokens. The model of a body, of whose fields those that select one are read, and refused as in a request.
  [[nodiscard]] std::optional<Result<FoundModel>> find_model_of(const Json& body, const ModelAccess& access, ModelFinder::Await await,
                                                                ModelFinder::Then then) const;
  // Only reads and tokenises the prompts, whether or not they fit into the context.
  [[nodiscard]] Result<PreparedRequest> read_prompts(Endpoint endpoint, const Json& body, Result<FoundModel> model) const;
  // How texts for the model of a body are read and written: the base's when it names none.
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> text_of(const Json& body, const Result<FoundModel>& model) const;

 private:
  enum class LongText : std::uint8_t { refused, taken };
  [[nodiscard]] Result<PreparedRequest> build(RequestSpec spec, LongText long_text, Result<FoundModel> model) const;
  [[nodiscard]] Result<PreparedRequest> prepare_spec(Result<RequestSpec> spec, const ModelAccess& access) const;
  [[nodiscard]] Status add_prompts(PreparedRequest& request, LongText long_text) const;
  [[nodiscard]] Status add_conversation(PreparedRequest& request, LongText long_text) const;
  struct Tokens {
    std::vector<TokenId> kept;
    bool is_whole = true;  // the prompt's text has no other tokens
  };
  [[nodiscard]] Result<Tokens> tokens_of(const PreparedRequest& request, std::string_view text, SpecialTokens special,
                                         LongText long_text) const;
  // How many tokens of a prompt are kept; nothing: all.
  [[nodiscard]] std::optional<std::size_t> tokens_to_keep(const PreparedRequest& request) const;
  [[nodiscard]] Status set_embedding(PreparedRequest& request) const;
  [[nodiscard]] Status set_output_tokens(PreparedRequest& request) const;

  // With the tokens that only its adapter has.
  [[nodiscard]] std::int32_t vocabulary_of(const PreparedRequest& request) const;

  const std::int32_t vocabulary_size_;
  const std::int32_t token_id_limit_;  // of all adapters
  AdapterTexts& texts_;
  Generator& generator_;
  const ModelFinder models_;
};

}  // namespace slora
