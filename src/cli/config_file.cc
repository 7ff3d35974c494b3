#include "cli/config_file.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "formats/json.h"

namespace slora {
namespace {

constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;
// An alias (*name) repeats what it refers to, so a short file could mean a very long one.
constexpr std::size_t kNodesMax = 100'000;
constexpr std::size_t kDepthMax = 32;

int line_of(const YAML::Mark& mark) { return mark.line + 1; }

// Text in quotes has the tag "!", and is text whatever it looks like.
bool is_plain(const YAML::Node& node) { return node.IsScalar() && node.Tag() != "!"; }

std::optional<bool> bool_of(const YAML::Node& node) {
  if (!is_plain(node)) return std::nullopt;
  const std::string& text = node.Scalar();
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

// Turns the values of one file into words of a command line.
class ConfigReader {
 public:
  explicit ConfigReader(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] Result<std::vector<ConfigEntry>> entries_of(const YAML::Node& root) {
    std::vector<ConfigEntry> entries;
    if (root.IsNull()) return entries;
    if (!root.IsMap()) return error("bad_config", "{}: expected options as \"name: value\", found no such list", path_);
    for (const auto& member : root) {
      const YAML::Node& key = member.first;
      if (!key.IsScalar()) return error("bad_config", "{}:{}: expected the name of an option", path_, line_of(key.Mark()));
      ConfigEntry entry{key.Scalar(), line_of(key.Mark()), {}, false};
      const auto before = std::ranges::find_if(entries, [&](const ConfigEntry& other) { return option_of(other) == option_of(entry); });
      if (before != entries.end()) {
        return error("bad_config", "{}: stands in line {} already; repeated options are a list", place_of(entry), before->line);
      }
      if (Status read = read_values(entry, member.second); !read) return forward_error(read);
      entries.push_back(std::move(entry));
    }
    return entries;
  }

 private:
  [[nodiscard]] std::string place_of(const ConfigEntry& entry) const { return fmt::format("{}:{}: {}", path_, entry.line, entry.key); }

  [[nodiscard]] Status read_values(ConfigEntry& entry, const YAML::Node& value) {
    entry.is_switch = bool_of(value).has_value();
    if (!value.IsSequence()) return add_value(entry, value);
    for (const YAML::Node& element : value) {
      if (Status added = add_value(entry, element); !added) return added;
    }
    return {};
  }

  [[nodiscard]] Status add_value(ConfigEntry& entry, const YAML::Node& value) {
    if (value.IsNull()) return error("bad_config", "{}: expected a value, found none", place_of(entry));
    if (const std::optional<bool> is_true = bool_of(value)) {
      entry.values.emplace_back(*is_true ? "true" : "false");
      return {};
    }
    if (value.IsScalar()) {
      entry.values.push_back(value.Scalar());
      return {};
    }
    Result<Json> json = json_of(value, entry, 0);
    if (!json) return forward_error(json);
    entry.values.push_back(json->dump());
    return {};
  }

  [[nodiscard]] Result<Json> json_of(const YAML::Node& node, const ConfigEntry& entry, std::size_t depth) {
    if (++node_count_ > kNodesMax || depth > kDepthMax) {
      return error("bad_config", "{}: expected at most {} values, {} deep, found more", place_of(entry), kNodesMax, kDepthMax);
    }
    if (node.IsNull()) return Json(nullptr);
    if (node.IsScalar()) return json_of_scalar(node);
    Json json = node.IsMap() ? Json::object() : Json::array();
    for (const auto& element : node) {
      const Result<Json> child = json_of(node.IsMap() ? element.second : element, entry, depth + 1);
      if (!child) return child;
      if (!node.IsMap()) {
        json.push_back(*child);
      } else if (element.first.IsScalar()) {
        json[element.first.Scalar()] = *child;
      } else {
        return error("bad_config", "{}: expected a text before \":\"", place_of(entry));
      }
    }
    return json;
  }

  [[nodiscard]] static Json json_of_scalar(const YAML::Node& node) {
    if (const std::optional<bool> is_true = bool_of(node)) return Json(*is_true);
    // A number of YAML that is none of JSON (0x10, .inf) stays text.
    const Result<Json> number = is_plain(node) ? parse_json(node.Scalar()) : Result<Json>(Json());
    return number && number->is_number() ? *number : Json(node.Scalar());
  }

  const std::string path_;
  std::size_t node_count_ = 0;
};

}  // namespace

std::string option_of(const ConfigEntry& entry) {
  std::string option = "--" + entry.key;
  std::ranges::replace(option, '_', '-');
  return option;
}

Result<std::vector<ConfigEntry>> read_config_file(const std::string& path) {
  const Result<std::string> text = read_text_file(path, kFileBytesMax);
  if (!text) return error("bad_config", "--config: {}: {}", path, text.error().message);
  return parse_config(*text, path);
}

Result<std::vector<ConfigEntry>> parse_config(const std::string& text, const std::string& path) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      return error("bad_config", "{}:{}: expected one document of options, found another one: only the first would count", path,
                   line_of(documents[1].Mark()));
    }
    return ConfigReader(path).entries_of(documents.empty() ? YAML::Node() : documents.front());
  } catch (const YAML::Exception& failed) {
    return error("bad_config", "{}:{}: {}", path, line_of(failed.mark), failed.msg);
  }
}

}  // namespace slora
