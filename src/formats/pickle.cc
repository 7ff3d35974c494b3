#include "formats/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "formats/json.h"

namespace slora {
namespace {

using Kind = Pickle::Kind;
using Index = Pickle::Index;

constexpr std::string_view kOrderedDictionary = "collections OrderedDict";

tl::unexpected<Error> refuse_end() { return error("E_PICKLE", "expected a whole pickle, found its end too early"); }

// Runs a pickle's opcodes on a stack of indices of values. Every opcode takes a byte at least and pushes one value at most, so that the
// work is bounded by the pickle's length.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, std::span<const std::string_view> names, const PickleLimits& limits)
      : bytes_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), names_(names), limits_(limits) {}

  Result<Pickle> run() {
    while (!is_done_) {
      const std::optional<std::uint8_t> opcode = take<std::uint8_t>();
      if (!opcode) return refuse_end();
      if (Status done = execute(*opcode); !done) return forward_error(done);
      if (std::max({pickle_.values.size(), stack_.size(), marks_.size(), memo_.size()}) > limits_.values_max)
        return error("E_PICKLE", "expected at most {} values, found more", limits_.values_max);
    }
    pickle_.bytes = position_;
    return std::move(pickle_);
  }

 private:
  // A number, little-endian.
  template <class T>
  std::optional<T> take() {
    const std::optional<std::string_view> text = take_text(sizeof(T));
    if (!text) return std::nullopt;
    T value;
    std::memcpy(&value, text->data(), sizeof(T));
    return value;
  }
  std::optional<std::string_view> take_text(std::uint64_t length) {
    if (length > bytes_.size() - position_) return std::nullopt;
    const std::string_view text = bytes_.substr(position_, length);
    position_ += length;
    return text;
  }
  std::optional<std::string_view> take_line() {
    const std::size_t end = bytes_.find('\n', position_);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = bytes_.substr(position_, end - position_);
    position_ = end + 1;
    return line;
  }

  Status push(Pickle::Value value) {
    stack_.push_back(static_cast<Index>(pickle_.values.size()));
    pickle_.values.push_back(std::move(value));
    return {};
  }
  Status push_integer(std::optional<std::int64_t> value) { return value ? push({.kind = Kind::integer, .integer = *value}) : refuse_end(); }
  Status push_text(std::optional<std::string_view> text) { return text ? push({.kind = Kind::text, .text = *text}) : refuse_end(); }

  // The values above the last mark, or the given number of them; nothing where there are not as many above it.
  std::optional<std::vector<Index>> pop_to_mark() {
    if (marks_.empty() || marks_.back() > stack_.size()) return std::nullopt;
    std::vector<Index> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  std::optional<std::vector<Index>> pop(std::size_t count) {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() < floor + count) return std::nullopt;
    std::vector<Index> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  static tl::unexpected<Error> refuse_stack(std::string_view opcode) {
    return error("E_PICKLE", "expected values for {}, found an empty stack", opcode);
  }

  Status execute(std::uint8_t opcode);
  Status execute_number(std::uint8_t opcode);
  Status take_name();
  Status make_tuple(std::optional<std::vector<Index>> items);
  Status take_long();
  Status call();
  Status set_state();
  Status append(std::optional<std::vector<Index>> items);
  Status set_items(std::optional<std::vector<Index>> items);
  Status remember(std::optional<std::uint32_t> key);
  Status recall(std::optional<std::uint32_t> key);

  std::string_view bytes_;
  std::span<const std::string_view> names_;
  PickleLimits limits_;
  std::size_t position_ = 0;
  bool is_done_ = false;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint32_t, Index> memo_;
  Pickle pickle_;
};

Status PickleMachine::execute(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      const std::optional<std::uint8_t> protocol = take<std::uint8_t>();
      if (protocol != 2) return error("E_PICKLE", "expected a pickle of protocol 2, found {}", protocol.value_or(0));
      return {};
    }
    case '.': {  // STOP
      const std::optional<std::vector<Index>> root = pop(1);
      if (!root) return refuse_stack("the result");
      pickle_.root = root->front();
      is_done_ = true;
      return {};
    }
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return {};
    case 'c':  // GLOBAL
      return take_name();
    case 'q': {  // BINPUT
      const std::optional<std::uint8_t> key = take<std::uint8_t>();
      return remember(key ? std::optional<std::uint32_t>(*key) : std::nullopt);
    }
    case 'r':  // LONG_BINPUT
      return remember(take<std::uint32_t>());
    case 'h': {  // BINGET
      const std::optional<std::uint8_t> key = take<std::uint8_t>();
      return recall(key ? std::optional<std::uint32_t>(*key) : std::nullopt);
    }
    case 'j':  // LONG_BINGET
      return recall(take<std::uint32_t>());
    case '}':  // EMPTY_DICT
      return push({.kind = Kind::dictionary});
    case ']':  // EMPTY_LIST
      return push({.kind = Kind::list});
    case ')':  // EMPTY_TUPLE
      return push({.kind = Kind::tuple});
    case 't':  // TUPLE
      return make_tuple(pop_to_mark());
    case 0x85:  // TUPLE1, TUPLE2, TUPLE3
    case 0x86:
    case 0x87:
      return make_tuple(pop(opcode - 0x84u));
    case 'a':  // APPEND
      return append(pop(1));
    case 'e':  // APPENDS
      return append(pop_to_mark());
    case 's':  // SETITEM
      return set_items(pop(2));
    case 'u':  // SETITEMS
      return set_items(pop_to_mark());
    case 'R':  // REDUCE
      return call();
    case 'b':  // BUILD
      return set_state();
    case 'Q': {  // BINPERSID
      const std::optional<std::vector<Index>> described = pop(1);
      return described ? push({.kind = Kind::persistent, .argument = described->front()}) : refuse_stack("a storage");
    }
    default:
      return execute_number(opcode);
  }
}

Status PickleMachine::execute_number(std::uint8_t opcode) {
  const auto widened = [](auto value) { return value ? std::optional<std::int64_t>(*value) : std::nullopt; };
  switch (opcode) {
    case 'N':  // NONE
      return push({});
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      return push({.kind = Kind::boolean, .integer = opcode == 0x88 ? 1 : 0});
    case 'K':  // BININT1
      return push_integer(widened(take<std::uint8_t>()));
    case 'M':  // BININT2
      return push_integer(widened(take<std::uint16_t>()));
    case 'J':  // BININT
      return push_integer(widened(take<std::int32_t>()));
    case 0x8a:  // LONG1
      return take_long();
    case 'G': {  // BINFLOAT, big-endian
      const std::optional<std::uint64_t> bits = take<std::uint64_t>();
      return bits ? push({.kind = Kind::real, .real = std::bit_cast<double>(__builtin_bswap64(*bits))}) : refuse_end();
    }
    case 'X': {  // BINUNICODE
      const std::optional<std::uint32_t> length = take<std::uint32_t>();
      return push_text(length ? take_text(*length) : std::nullopt);
    }
    default:
      return error("E_PICKLE", "expected only what PyTorch writes for tensors, found the opcode 0x{:02x} at byte {}", opcode,
                   position_ - 1);
  }
}

Status PickleMachine::take_name() {
  const std::optional<std::string_view> module = take_line(), name = take_line();
  if (!module || !name) return refuse_end();
  const auto known = std::ranges::find_if(names_, [&](std::string_view candidate) {
    return candidate.size() == module->size() + 1 + name->size() && candidate.starts_with(*module) && candidate[module->size()] == ' ' &&
           candidate.ends_with(*name);
  });
  if (known != names_.end()) return push({.kind = Kind::name, .text = *known});
  return error("E_PICKLE", "it names {} of the module {}, which no file of tensors needs", quote(*name), quote(*module));
}

Status PickleMachine::make_tuple(std::optional<std::vector<Index>> items) {
  if (!items) return refuse_stack("a tuple");
  return push({.kind = Kind::tuple, .items = std::move(*items)});
}

// A two's complement of any length.
Status PickleMachine::take_long() {
  const std::optional<std::uint8_t> length = take<std::uint8_t>();
  const std::optional<std::string_view> bytes = length ? take_text(*length) : std::nullopt;
  if (!bytes) return refuse_end();
  if (bytes->size() > sizeof(std::uint64_t)) return push({.kind = Kind::long_integer, .text = *bytes});
  std::uint64_t bits = 0;
  if (!bytes->empty() && (static_cast<unsigned char>(bytes->back()) & 0x80u) != 0) bits = ~std::uint64_t{0};
  std::memcpy(&bits, bytes->data(), bytes->size());
  return push_integer(static_cast<std::int64_t>(bits));
}

Status PickleMachine::call() {
  const std::optional<std::vector<Index>> called = pop(2);
  if (!called) return refuse_stack("a call");
  const Pickle::Value &function = pickle_.at((*called)[0]), &argument = pickle_.at((*called)[1]);
  if (function.kind != Kind::name || argument.kind != Kind::tuple)
    return error("E_PICKLE", "expected calls of names with tuples, found another one at byte {}", position_ - 1);
  return push({.kind = Kind::call, .text = function.text, .argument = (*called)[1]});
}

// State dictionaries have their modules' versions as a state, which says nothing about tensors.
Status PickleMachine::set_state() {
  const std::optional<std::vector<Index>> built = pop(2);
  if (!built) return refuse_stack("a state");
  const Pickle::Value &object = pickle_.at((*built)[0]), &state = pickle_.at((*built)[1]);
  if (object.kind != Kind::call || object.text != kOrderedDictionary || state.kind != Kind::dictionary)
    return error("E_PICKLE", "expected no object with a state but a dictionary, found one at byte {}", position_ - 1);
  stack_.push_back((*built)[0]);
  return {};
}

Status PickleMachine::append(std::optional<std::vector<Index>> items) {
  const std::optional<std::vector<Index>> list = items ? pop(1) : std::nullopt;
  if (!list) return refuse_stack("a list");
  Pickle::Value& value = pickle_.values[list->front()];
  if (value.kind != Kind::list) return error("E_PICKLE", "expected a list to append to, found something else at byte {}", position_ - 1);
  value.items.insert(value.items.end(), items->begin(), items->end());
  stack_.push_back(list->front());
  return {};
}

Status PickleMachine::set_items(std::optional<std::vector<Index>> items) {
  const std::optional<std::vector<Index>> dictionary = items ? pop(1) : std::nullopt;
  if (!dictionary || items->size() % 2 != 0) return refuse_stack("a dictionary");
  Pickle::Value& value = pickle_.values[dictionary->front()];
  if (value.kind != Kind::dictionary && !(value.kind == Kind::call && value.text == kOrderedDictionary))
    return error("E_PICKLE", "expected a dictionary to fill, found something else at byte {}", position_ - 1);
  value.items.insert(value.items.end(), items->begin(), items->end());
  stack_.push_back(dictionary->front());
  return {};
}

Status PickleMachine::remember(std::optional<std::uint32_t> key) {
  if (!key) return refuse_end();
  if (stack_.empty()) return refuse_stack("the memo");
  memo_[*key] = stack_.back();
  return {};
}

Status PickleMachine::recall(std::optional<std::uint32_t> key) {
  if (!key) return refuse_end();
  const auto known = memo_.find(*key);
  if (known == memo_.end()) return error("E_PICKLE", "expected a memo of {}, found none", *key);
  stack_.push_back(known->second);
  return {};
}

}  // namespace

Result<Pickle> parse_pickle(std::span<const std::byte> bytes, std::span<const std::string_view> names, const PickleLimits& limits) {
  return PickleMachine(bytes, names, limits).run();
}

}  // namespace slora
