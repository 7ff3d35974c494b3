#include "api/model_finder.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "adapters/adapter_look.h"
#include "api/api_error.h"
#include "base/caught.h"
#include "formats/json.h"

namespace slora {
namespace {

tl::unexpected<Error> too_large(std::string_view name, const AdapterVersion& adapter) {
  return error("E_TOO_LARGE", "adapter {}: with its {} pages in the pool no sequence fits; increase --pool-memory", quote(name),
               adapter.pages_in_all());
}

// At one request's adapters in a row.
constexpr int kLooksMax = 8;

}  // namespace

// A request whose model is known after a look.
struct ModelFinder::Search {
  const RequestSpec& spec;
  const ModelAccess& access;
  Await await;
  Then then;
};

ModelFinder::ModelFinder(std::vector<std::string> base_names, AdapterTexts& texts, Generator& generator)
    : base_names_(std::move(base_names)), texts_(texts), generator_(generator) {}

std::optional<Result<FoundModel>> ModelFinder::find(const RequestSpec& spec, const ModelAccess& access, Await await, Then then) const {
  UnknownAdapters unknown = unknown_adapters(spec, access);
  if (unknown.names.empty()) {
    Result<FoundModel> model = find_now(spec, access);
    if (!model || model->text != nullptr) return model;
    unknown = unread_adapters(*model->adapter);  // it has changed just now
  }
  search_after_look(std::make_shared<const Search>(Search{spec, access, std::move(await), std::move(then)}), unknown, kLooksMax - 1);
  return std::nullopt;
}

void ModelFinder::search_after_look(const std::shared_ptr<const Search>& search, const UnknownAdapters& unknown, int looks_left) const {
  search->await(unknown.names, [this, search, holds = unknown.holds, looks_left](const Status& can_go_on) {
    bool looks_again = false;
    Result<FoundModel> model = run_caught([&]() -> Result<FoundModel> {
      if (!can_go_on) return tl::unexpected(can_go_on.error());
      Result<FoundModel> found = find_now(search->spec, search->access);
      if (!found || found->text != nullptr) return found;
      const UnknownAdapters unread = unread_adapters(*found->adapter);
      if (looks_left == 0 || unread.names.empty()) {
        Error why = adapter_unavailable(found->name, {"E_READ", "its text files have not been read", {}});
        why.param = found->field;
        return tl::unexpected(std::move(why));
      }
      search_after_look(search, unread, looks_left - 1);
      looks_again = true;
      return found;
    });
    if (!looks_again) search->then(std::move(model));
  });
}

ModelFinder::UnknownAdapters ModelFinder::unread_adapters(const AdapterVersion& version) const {
  UnknownAdapters unread;
  if (version.components().empty()) hold(unread, version.name());
  for (const BlendComponent& component : version.components()) {
    if (!texts_.find(*component.version)) hold(unread, component.version->name());
  }
  return unread;
}

void ModelFinder::hold(UnknownAdapters& unknown, std::string_view adapter) const {
  unknown.names.emplace_back(adapter);
  unknown.holds.push_back(texts_.hold(unknown.names.back()));
}

ModelFinder::UnknownAdapters ModelFinder::unknown_adapters(const RequestSpec& spec, const ModelAccess& access) const {
  UnknownAdapters unknown;
  for (const WeightedAdapter& component : spec.blend) add_unknown(unknown, component.name, NameForm::name_or_folder, access);
  if (spec.blend.empty() && spec.adapter.empty()) add_unknown(unknown, spec.model, NameForm::name, access);
  if (!spec.adapter.empty()) add_unknown(unknown, spec.adapter, NameForm::name_or_folder, access);
  return unknown;
}

void ModelFinder::add_unknown(UnknownAdapters& unknown, const std::string& name, NameForm form, const ModelAccess& access) const {
  const std::optional<std::string> in_folder = form == NameForm::name_or_folder ? adapter_in_folder(name, access) : std::nullopt;
  const std::string_view of_folder = in_folder ? std::string_view(*in_folder) : std::string_view();
  for (const std::string_view adapter : {std::string_view(name), after_base(name), of_folder}) {
    if (!access.allows(adapter) || is_base(std::string(adapter)) || !is_unknown(adapter)) continue;
    return hold(unknown, adapter);
  }
}

// Its folder or its text files.
bool ModelFinder::is_unknown(std::string_view adapter) const {
  if (!generator_.is_known(adapter)) return true;
  const Result<std::shared_ptr<const AdapterVersion>> version = generator_.resolve(adapter);
  return version && !texts_.find(**version);
}

void ModelFinder::await_looks(const std::vector<std::string>& adapters, std::function<void()> then) const {
  if (adapters.empty()) return then();
  const auto left = std::make_shared<std::atomic<std::size_t>>(adapters.size());  // shared with the threads that look
  const auto shared_then = std::make_shared<const std::function<void()>>(std::move(then));
  for (const std::string& adapter : adapters) {
    generator_.await_adapter(adapter, [left, shared_then] {
      if (left->fetch_sub(1) == 1) (*shared_then)();
    });
  }
}

Result<FoundModel> ModelFinder::find_now(const RequestSpec& spec, const ModelAccess& access) const {
  Result<FoundModel> model = find_named(spec, access);
  if (!model) return model;
  Result<std::shared_ptr<const TextModel>> text = model->adapter == nullptr              ? texts_.base()
                                                  : model->adapter->components().empty() ? text_of_adapter(*model->adapter)
                                                                                         : common_text(*model->adapter);
  if (!text) text.error().param = model->field;
  if (!text) return forward_error(text);
  model->text = std::move(*text);
  return model;
}

Result<std::shared_ptr<const TextModel>> ModelFinder::text_of_adapter(const AdapterVersion& adapter) const {
  return texts_.find(adapter).value_or(nullptr);
}

Result<std::shared_ptr<const TextModel>> ModelFinder::common_text(const AdapterVersion& blend) const {
  std::shared_ptr<const TextModel> common;
  for (const BlendComponent& component : blend.components()) {
    Result<std::shared_ptr<const TextModel>> text = text_of_adapter(*component.version);
    if (!text || *text == nullptr) return text;
    if (common != nullptr && common != *text) {
      return error("E_BLEND", "the adapters of a blend must read and write texts alike, and \"{}\" has a tokenizer or template of its own",
                   component.version->name());
    }
    common = *text;
  }
  return common;
}

Result<FoundModel> ModelFinder::find_blend(const RequestSpec& spec, const ModelAccess& access) const {
  const std::string& field = spec.blend_field;
  if (!spec.adapter.empty()) return field_error(spec.adapter_field, "{}: {} names adapters, too", spec.adapter_field, field);
  if (!spec.model.empty() && !is_base(spec.model)) {
    return field_error(spec.model_field, "{}: expected the base model or nothing in a request with {}, found {}", spec.model_field, field,
                       quote(spec.model));
  }
  std::vector<WeightedAdapter> names;
  for (const WeightedAdapter& component : spec.blend) {
    Result<std::shared_ptr<const AdapterVersion>> adapter = find_adapter(component.name, NameForm::name_or_folder, access);
    if (adapter && *adapter == nullptr)
      return field_error(field, "{}: expected adapters, found the base model {}", field, quote(component.name));
    if (!adapter) {
      adapter.error().param = field;
      adapter.error().message = fmt::format("{}: {}", field, adapter.error().message);
      return forward_error(adapter);
    }
    names.push_back({(*adapter)->name(), component.weight});
  }
  std::ranges::sort(names, {}, &WeightedAdapter::name);
  const auto same = std::ranges::adjacent_find(names, {}, &WeightedAdapter::name);
  if (same != names.end()) return field_error(field, "{}: expected different adapters, found {} twice", field, quote(same->name));
  Result<std::shared_ptr<const AdapterVersion>> blend = generator_.find_blend(names);
  if (blend && generator_.output_tokens_that_fit(0, blend->get()) <= 0) blend = too_large((*blend)->name(), **blend);
  if (!blend) {
    blend.error().param = field;
    return forward_error(blend);
  }
  return FoundModel{(*blend)->name(), std::move(*blend), field, nullptr};
}

Result<FoundModel> ModelFinder::find_named(const RequestSpec& spec, const ModelAccess& access) const {
  if (!spec.blend.empty()) return find_blend(spec, access);
  const bool is_apart = !spec.adapter.empty();
  const std::string& field = is_apart ? spec.adapter_field : spec.model_field;
  const std::string& name = is_apart ? spec.adapter : spec.model.empty() ? base_names_.front() : spec.model;
  Result<std::shared_ptr<const AdapterVersion>> adapter = find_adapter(name, is_apart ? NameForm::name_or_folder : NameForm::name, access);
  if (!adapter) {
    adapter.error().param = field;
    if (field != "model") adapter.error().message = fmt::format("{}: {}", field, adapter.error().message);
    return forward_error(adapter);
  }
  const std::string own_name = *adapter ? (*adapter)->name() : name;
  if (is_apart && !spec.model.empty() && !is_base(spec.model) && spec.model != own_name && after_base(spec.model) != own_name) {
    return field_error(field, "{}: {} names {}, and this field {}", field, spec.model_field, quote(spec.model), quote(name));
  }
  if (!spec.adapter_folder.empty() && adapter_in_folder(spec.adapter_folder, access) != own_name) {
    return field_error(spec.adapter_folder_field, "{}: expected nothing, or the folder of adapter {} here, found {}",
                       spec.adapter_folder_field, quote(own_name), quote(spec.adapter_folder));
  }
  return FoundModel{is_apart ? own_name : name, std::move(*adapter), field, nullptr};
}

bool ModelFinder::is_base(const std::string& model) const { return std::ranges::find(base_names_, model) != base_names_.end(); }

std::string_view ModelFinder::after_base(std::string_view model) const {
  for (const std::string& base : base_names_) {
    if (model.starts_with(base) && model.substr(base.size()).starts_with(':')) return model.substr(base.size() + 1);
  }
  return {};
}

std::optional<std::string> ModelFinder::adapter_in_folder(std::string_view path, const ModelAccess& access) const {
  return access.allows_all() ? generator_.adapter_in_folder(path) : std::nullopt;
}

Result<std::shared_ptr<const AdapterVersion>> ModelFinder::find_adapter(const std::string& model, NameForm form,
                                                                        const ModelAccess& access) const {
  if (access.allows(model) && is_base(model)) return std::shared_ptr<const AdapterVersion>();
  // No adapter has an empty name: what is not allowed takes as long as what does not exist.
  const auto resolve = [&](std::string_view name) { return generator_.resolve(access.allows(name) ? name : std::string_view()); };
  const auto is_unknown = [](const auto& adapter) { return !adapter && adapter.error().code == "not_found"; };
  Result<std::shared_ptr<const AdapterVersion>> adapter = resolve(model);
  if (const std::string_view rest = after_base(model); is_unknown(adapter) && !rest.empty()) adapter = resolve(rest);
  if (is_unknown(adapter) && form == NameForm::name_or_folder) {
    if (const auto in_folder = adapter_in_folder(model, access)) adapter = resolve(*in_folder);
  }
  if (is_unknown(adapter)) {
    adapter.error() = {"model_not_found",
                       fmt::format("The model {} does not exist. GET /v1/models lists the base model and its adapters.", quote(model)),
                       {}};
  }
  if (!adapter || generator_.output_tokens_that_fit(0, adapter->get()) > 0) return adapter;
  return too_large(model, **adapter);
}

}  // namespace slora
