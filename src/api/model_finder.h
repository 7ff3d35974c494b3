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

// Which model answers a request.
struct NamedModel {
  std::string name;                               // the base's or the adapter's, as the client named it
  std::shared_ptr<const AdapterVersion> adapter;  // null: the base model
  std::string field;                              // which names it
};

// Adapters of which too little is in memory to prepare a request for them: their folders have to be looked at first.
struct UnknownAdapters {
  std::vector<std::string> names;
  std::vector<std::shared_ptr<const void>> holds;  // keep what the looks read, until the request has been prepared
};

// Which model a request means: the base, an adapter, or a blend of several, of those that its caller may name. A model that the caller has
// no access to does not exist for it. What it borrows outlives it. Constant after construction; any thread.
class ModelFinder {
 public:
  ModelFinder(std::vector<std::string> base_names, AdapterTexts& texts, Generator& generator);

  // Of what is in memory; reads no file. The error names the field: "model_not_found", why an adapter is refused, "adapter_unavailable",
  // E_TOO_LARGE, E_BLEND.
  [[nodiscard]] Result<NamedModel> find(const RequestSpec& spec, const ModelAccess& access) const;
  // How its texts are read and written.
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> find_text(const NamedModel& model) const;

  // The adapters whose folders have to be looked at before find() knows enough.
  [[nodiscard]] UnknownAdapters unknown_adapters(const RequestSpec& spec, const ModelAccess& access) const;
  // Calls `then` once all were looked at: at once, or on another thread.
  void await_looks(const std::vector<std::string>& adapters, std::function<void()> then) const;

 private:
  enum class NameForm : std::uint8_t { name, name_or_folder };
  [[nodiscard]] bool is_base(const std::string& model) const;
  // The name after "BASE:", as SGLang writes it; empty without one.
  [[nodiscard]] std::string_view after_base(std::string_view model) const;
  // Only for callers who may name every model: to the others, how long it takes would tell which adapters there are.
  [[nodiscard]] std::optional<std::string> adapter_in_folder(std::string_view path, const ModelAccess& access) const;
  [[nodiscard]] Result<std::shared_ptr<const AdapterVersion>> find_adapter(const std::string& model, NameForm form,
                                                                           const ModelAccess& access) const;
  [[nodiscard]] Result<NamedModel> find_blend(const RequestSpec& spec, const ModelAccess& access) const;
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> text_of_adapter(const AdapterVersion& adapter) const;
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> common_text(const AdapterVersion& blend) const;
  void add_unknown(UnknownAdapters& unknown, const std::string& name, NameForm form, const ModelAccess& access) const;
  [[nodiscard]] bool is_unknown(std::string_view adapter) const;

  const std::vector<std::string> base_names_;
  AdapterTexts& texts_;
  Generator& generator_;
};

}  // namespace slora
