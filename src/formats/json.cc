#include "formats/json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/check.h"
#include "formats/file.h"
#include "formats/folder.h"

namespace slora {
namespace {

// An iterator over the text that reports the position of the parser, which holds a copy of it.
class CountingIterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    const CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

using TakeMember = std::function<Status(const std::string& name, const Json& value)>;

// What a parser's message says, without the text that it quotes: "...; last read: '"pass'; expected ':'", "... overflow parsing '1e999'".
std::string without_quotations(std::string_view what) {
  constexpr std::array<std::string_view, 9> kExpected = {"string literal",        "end of input", "'['", "'{'", "']'", "'}'", "':'", "','",
                                                         "'[', '{', or a literal"};
  std::string out(what);
  for (const std::string_view begin : {"; last read: '", " parsing '"}) {
    const std::size_t at = out.find(begin);
    if (at == std::string::npos) continue;
    std::string tail;  // after the quoted text, which ends with a quotation mark and so with none of these
    for (const std::string_view expected : kExpected) {
      if (const std::string end = fmt::format("; expected {}", expected); out.ends_with("'" + end)) tail = end;
    }
    out = out.substr(0, at) + tail;
  }
  return out;
}

// Builds the tree bottom-up from the parser's events: a value is complete before it is put into its parent, so that
// nothing is copied when a container grows and finds duplicate keys by hashing.
class TreeBuilder {
 public:
  // `take_member`: null, or called with each member of the outermost object, which is then not kept.
  explicit TreeBuilder(const JsonLimits& limits, const TakeMember* take_member = nullptr) : limits_(limits), take_member_(take_member) {}

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(std::int64_t value) { return put(value); }
  bool number_unsigned(std::uint64_t value) { return put(value); }
  bool number_float(double value, const std::string&) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t&) { return refuse("binary data in JSON text"); }
  bool start_object(std::size_t) { return open(); }
  bool start_array(std::size_t) { return open(); }

  bool key(std::string& name) {
    frames_.back().keys.push_back(std::move(name));
    return true;
  }

  bool end_array() {
    Json array(Json::value_t::array);
    array.get_ref<Json::array_t&>() = std::move(frames_.back().values);
    frames_.pop_back();
    return attach(std::move(array));
  }

  bool end_object() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (const std::string* twice = duplicate(frame.keys))
      return refuse(fmt::format("the key {} stands twice in one object", quote(*twice)));
    Json object(Json::value_t::object);
    auto& members = object.get_ref<Json::object_t&>();
    members.reserve(frame.keys.size());
    for (std::size_t i = 0; i < frame.keys.size(); ++i) members.emplace_back(std::move(frame.keys[i]), std::move(frame.values[i]));
    return attach(std::move(object));
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& failure) {
    std::string_view what = failure.what();
    if (const std::size_t end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
    return refuse(without_quotations(what));
  }

  // Why take_member failed, if it did.
  [[nodiscard]] const std::optional<Error>& member_error() const { return member_error_; }
  [[nodiscard]] Json& root() { return root_; }
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  struct Frame {
    std::vector<std::string> keys;  // of an object, [values]
    std::vector<Json> values;
  };

  template <class T>
  bool put(T&& value) {
    return count() && attach(Json(std::forward<T>(value)));
  }

  bool open() {
    if (frames_.size() >= limits_.depth_max) return refuse(fmt::format("expected at most {} nested arrays and objects", limits_.depth_max));
    frames_.emplace_back();
    return count();
  }

  bool count() {
    if (++value_count_ > limits_.values_max) return refuse(fmt::format("expected at most {} values in all", limits_.values_max));
    return true;
  }

  bool attach(Json&& value) {
    if (frames_.empty()) {
      root_ = std::move(value);
    } else if (take_member_ != nullptr && frames_.size() == 1 && !frames_.back().keys.empty()) {
      const Status taken = (*take_member_)(frames_.back().keys.back(), value);
      frames_.back().keys.clear();
      if (!taken) member_error_ = taken.error();
      return taken.has_value();
    } else {
      frames_.back().values.push_back(std::move(value));
    }
    return true;
  }

  static const std::string* duplicate(const std::vector<std::string>& keys) {
    std::unordered_set<std::string_view> seen;
    seen.reserve(keys.size());
    for (const std::string& key : keys) {
      if (!seen.insert(key).second) return &key;
    }
    return nullptr;
  }

  bool refuse(std::string why) {
    refusal_ = std::move(why);
    return false;
  }

  const JsonLimits limits_;
  const TakeMember* const take_member_;
  std::optional<Error> member_error_;
  std::vector<Frame> frames_;
  std::size_t value_count_ = 0;
  Json root_;
  std::string refusal_;
};

// The parser quotes the last bytes it read, which may be long and unprintable: keep the message short and printable.
std::string printable(std::string message) {
  constexpr std::size_t kHead = 200, kTail = 80;
  for (char& c : message) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (message.size() > kHead + kTail) message = message.substr(0, kHead) + " ... " + message.substr(message.size() - kTail);
  return message;
}

std::string shortened(std::string text, std::size_t bytes_max) {
  return text.size() <= bytes_max ? text : text.substr(0, bytes_max - 3) + "...";
}

template <class T>
Result<T> required(Result<std::optional<T>> found, std::string_view key, std::string_view expected) {
  if (!found) return forward_error(found);
  if (!*found) return error("E_BAD_JSON", "\"{}\": expected {}, found nothing", key, expected);
  return std::move(**found);
}

tl::unexpected<Error> wrong_type(std::string_view key, std::string_view expected, const Json& found) {
  return error("E_BAD_JSON", "\"{}\": expected {}, found {} ({})", key, expected, shown(found), type_name(found));
}

Result<std::string> text_of_file(Result<ReadOnlyFile> file, std::size_t bytes_max) {
  if (!file) return forward_error(file);
  if (file->bytes() > bytes_max) {
    return error("E_TOO_LARGE", "{}: expected at most {} bytes, found {}", file->name(), bytes_max, file->bytes());
  }
  std::string text(static_cast<std::size_t>(file->bytes()), '\0');
  if (Status read = file->read_at(std::as_writable_bytes(std::span(text)), 0); !read) return forward_error(read);
  return text;
}

Result<Json> json_of_file(Result<ReadOnlyFile> file, std::string_view name, const JsonLimits& limits) {
  Result<std::string> text = text_of_file(std::move(file), limits.bytes_max);
  if (!text) return forward_error(text);
  Result<Json> json = parse_json(*text, limits);
  if (!json) json.error().message = fmt::format("{}: {}", name, json.error().message);
  return json;
}

Status run_parser(TreeBuilder& builder, std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return error("E_TOO_LARGE", "JSON text: expected at most {} bytes, found {}", limits.bytes_max, text.size());
  }
  // The parser would treat a zero byte as the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return error("E_BAD_JSON", "byte {}: expected JSON text, found a zero byte", zero);
  }
  const char* reached = text.data();
  const bool accepted =
      Json::sax_parse(CountingIterator(text.data(), &reached), CountingIterator(text.data() + text.size(), &reached), &builder);
  if (accepted) return {};
  const auto offset = static_cast<std::size_t>(reached - text.data());
  const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
  return error("E_BAD_JSON", "line {}, byte {}: {}", lines + 1, offset, printable(builder.refusal()));
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  TreeBuilder builder(limits);
  if (Status parsed = run_parser(builder, text, limits); !parsed) return forward_error(parsed);
  return std::move(builder.root());
}

Status parse_json_members(std::string_view text, const JsonLimits& limits, const TakeMember& take) {
  TreeBuilder builder(limits, &take);
  Status parsed = run_parser(builder, text, limits);
  if (builder.member_error()) return tl::unexpected(*builder.member_error());
  if (parsed && !builder.root().is_object()) return error("E_BAD_JSON", "expected an object, found {}", type_name(builder.root()));
  return parsed;
}

Result<std::string> read_text_file(const std::string& path, std::size_t bytes_max) {
  return text_of_file(ReadOnlyFile::open(path), bytes_max);
}

Result<Json> read_json_file(const std::string& path, const JsonLimits& limits) {
  return json_of_file(ReadOnlyFile::open(path), file_name(path), limits);
}

Result<std::string> read_text_file(const Folder& folder, std::string_view name, std::size_t bytes_max) {
  return text_of_file(folder.open_file(name), bytes_max);
}

Result<Json> read_json_file(const Folder& folder, std::string_view name, const JsonLimits& limits) {
  return json_of_file(folder.open_file(name), name, limits);
}

std::string shown(const Json& value) {
  if (value.is_structured() && value.size() > 16) return fmt::format("{} of {}", value.is_array() ? "array" : "object", value.size());
  return shortened(value.dump(-1, ' ', true, Json::error_handler_t::replace), 60);
}

std::string quote(std::string_view text) {
  return shortened(Json(text.substr(0, 120)).dump(-1, ' ', true, Json::error_handler_t::replace), 120);
}

std::string_view type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number";
    default:
      return "something else";
  }
}

bool is_off(const Json& value) {
  if (value.is_number()) return value.get<double>() == 0.0;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();
}

const Json* find_member(const Json& object, std::string_view key) {
  check(object.is_object(), "expected a JSON object");
  for (const auto& [name, value] : object.get_ref<const Json::object_t&>()) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

Result<std::optional<std::int64_t>> optional_integer_at(const Json& object, std::string_view key) {
  const Json* value = find_member(object, key);
  if (value == nullptr) return std::nullopt;
  const bool too_large = value->is_number_unsigned() && value->get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  if (!value->is_number_integer() || too_large) return wrong_type(key, "an integer of 64 bits", *value);
  return value->get<std::int64_t>();
}

Result<std::optional<double>> optional_number_at(const Json& object, std::string_view key) {
  const Json* value = find_member(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return wrong_type(key, "a number", *value);
  return value->get<double>();
}

Result<std::optional<bool>> optional_bool_at(const Json& object, std::string_view key) {
  const Json* value = find_member(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return wrong_type(key, "true or false", *value);
  return value->get<bool>();
}

Result<std::optional<std::string>> optional_string_at(const Json& object, std::string_view key) {
  const Json* value = find_member(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return wrong_type(key, "a string", *value);
  return value->get<std::string>();
}

Result<std::optional<std::vector<std::string>>> optional_strings_at(const Json& object, std::string_view key) {
  const Json* value = find_member(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) return wrong_type(key, "a list of strings", *value);
  std::vector<std::string> strings;
  strings.reserve(value->size());
  for (const Json& element : *value) {
    if (!element.is_string()) return wrong_type(key, "a list of strings", *value);
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

Result<std::int64_t> integer_at(const Json& object, std::string_view key) {
  return required(optional_integer_at(object, key), key, "an integer");
}
Result<std::string> string_at(const Json& object, std::string_view key) {
  return required(optional_string_at(object, key), key, "a string");
}

}  // namespace slora
