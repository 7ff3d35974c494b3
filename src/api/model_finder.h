#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/adapter_texts.h"
#include "api/generator.h"
#include "api/model_access.h"
#include "api/request_spec.h"
#include "api/text_model.h"
#include "base/result.h"

namespace slora {

// Which model answers a request, whatever its name comes to mean later.
struct FoundModel {
  std::string name;                               // the base's or the adapter's, as the client named it
  std::shared_ptr<const AdapterVersion> adapter;  // null: the base model
  std::string field;                              // which names it
  std::shared_ptr<const TextModel> text;          // how its texts are read and written
};

// Which model a request means: the base, an adapter, or a blend of several, of those that its caller may name. A model that the caller has
// no access to does not exist for it. What it borrows outlives it. Constant after construction; any thread.
class ModelFinder {
 public:
  ModelFinder(std::vector<std::string> base_names, AdapterTexts& texts, Generator& generator);

  // How a caller waits for looks at these adapters' folders: calls `go_on` after them, on a thread that may compute, or with the error that
  // the request ends with.
  using Await = std::function<void(const std::vector<std::string>& adapters, std::function<void(Status)> go_on)>;
  using Then = std::function<void(Result<FoundModel>)>;

  // The model, of what is in memory; reads no file. When too little is there, nothing, and `then` is called with the model after `await`.
  // An adapter that changes faster than its folder can be looked at is looked at several times. The error names the field:
  // "model_not_found", why an adapter is refused, "adapter_unavailable", E_TOO_LARGE, E_BLEND. `spec` and `access` outlive the call of
  // `then`.
  [[nodiscard]] std::optional<Result<FoundModel>> find(const RequestSpec& spec, const ModelAccess& access, Await await, Then then) const;
  // Calls `then` once all were looked at: at once, or on another thread.
  void await_looks(const std::vector<std::string>& adapters, std::function<void()> then) const;

 private:
  enum class NameForm : std::uint8_t { name, name_or_folder };
  // Adapters of which too little is in memory: their folders have to be looked at first.
  struct UnknownAdapters {
    std::vector<std::string> names;
    std::vector<std::shared_ptr<const void>> holds;  // keep what the looks read
  };
  struct Search;

  // Those that are to be looked at in any case.
  [[nodiscard]] UnknownAdapters unknown_adapters(const RequestSpec& spec, const ModelAccess& access) const;
  // The adapter, or the components of a blend, whose text files have not been read.
  [[nodiscard]] UnknownAdapters unread_adapters(const AdapterVersion& version) const;
  void hold(UnknownAdapters& unknown, std::string_view adapter) const;
  // Its text is null when that has not been read.
  [[nodiscard]] Result<FoundModel> find_now(const RequestSpec& spec, const ModelAccess& access) const;
  void search_after_look(const std::shared_ptr<const Search>& search, const UnknownAdapters& unknown, int looks_left) const;
  // Without its text.
  [[nodiscard]] Result<FoundModel> find_named(const RequestSpec& spec, const ModelAccess& access) const;
  [[nodiscard]] bool is_base(const std::string& model) const;
  // The name after "BASE:", as SGLang writes it; empty without one.
  [[nodiscard]] std::string_view after_base(std::string_view model) const;
  // Only for callers who may name every model: to the others, how long it takes would tell which adapters there are.
  [[nodiscard]] std::optional<std::string> adapter_in_folder(std::string_view path, const ModelAccess& access) const;
  [[nodiscard]] Result<std::shared_ptr<const AdapterVersion>> find_adapter(const std::string& model, NameForm form,
                                                                           const ModelAccess& access) const;
  [[nodiscard]] Result<FoundModel> find_blend(const RequestSpec& spec, const ModelAccess& access) const;
  // Null when it has not been read.
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> text_of_adapter(const AdapterVersion& adapter) const;
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> common_text(const AdapterVersion& blend) const;
  void add_unknown(UnknownAdapters& unknown, const std::string& name, NameForm form, const ModelAccess& access) const;
  [[nodiscard]] bool is_unknown(std::string_view adapter) const;

  const std::vector<std::string> base_names_;
  AdapterTexts& texts_;
  Generator& generator_;
};

}  // namespace slora
