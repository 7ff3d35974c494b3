#include "text/chat_template.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"
#include "text/utf8.h"

namespace slora {

namespace jinja {
namespace {

constexpr int kPassesMax = 8;  // of assignments of one such variable to another

using Names = std::set<std::string, std::less<>>;

// The expression below all filters, tests and slices.
const Expression* core_of(const Expression* expression) {
  while (expression != nullptr) {
    if (const auto* filter = std::get_if<FilterCall>(&expression->kind)) {
      expression = filter->input.get();
    } else if (const auto* test = std::get_if<TestCall>(&expression->kind)) {
      expression = test->input.get();
    } else if (const auto* slice = std::get_if<Slice>(&expression->kind)) {
      expression = slice->object.get();
    } else {
      break;
    }
  }
  return expression;
}

std::string_view name_of(const Expression* expression) {
  const Name* name = expression == nullptr ? nullptr : std::get_if<Name>(&expression->kind);
  return name == nullptr ? std::string_view() : name->name;
}

bool is_one_of(const Names& names, const ExpressionPtr& expression) {
  return names.find(name_of(core_of(expression.get()))) != names.end();
}

// message.content or message["content"], for one of `messages`.
bool is_content_of(const Names& messages, const ExpressionPtr& expression) {
  const Expression* core = core_of(expression.get());
  if (core == nullptr) return false;
  if (const auto* attribute = std::get_if<Attribute>(&core->kind)) {
    return attribute->name == "content" && messages.find(name_of(attribute->object.get())) != messages.end();
  }
  const auto* subscript = std::get_if<Subscript>(&core->kind);
  if (subscript == nullptr || messages.find(name_of(subscript->object.get())) == messages.end()) return false;
  const auto* key = std::get_if<Literal>(&subscript->key->kind);
  return key != nullptr && key->value.if_text() != nullptr && *key->value.if_text() == "content";
}

class Search {
 public:
  explicit Search(const Template& root) : root_(root) {
    find_lists();
    visit_statements(root_.body, [this](const Statement& statement) {
      const auto* loop = std::get_if<For>(&statement.kind);
      if (loop != nullptr && !loop->target.is_tuple && is_one_of(lists_, loop->items)) messages_.insert(loop->target.names.front());
      visit_expressions(statement, [this](const Expression& expression) {
        const auto* call = std::get_if<Call>(&expression.kind);
        if (call != nullptr) calls_.emplace(name_of(call->callee.get()), call);
      });
    });
  }

  bool run() {
    bool found = false;
    visit_statements(root_.body, [&](const Statement& statement) {
      if (const auto* loop = std::get_if<For>(&statement.kind)) found = found || is_content_of(messages_, loop->items);
      if (const auto* macro = std::get_if<MacroDefinition>(&statement.kind)) found = found || loops_over_argument(*macro);
    });
    return found || loops_over_plain_name(root_.body);
  }

 private:
  // Variables that hold the messages or some of them.
  void find_lists() {
    lists_ = {"messages"};
    for (int pass = 0; pass < kPassesMax; ++pass) {
      visit_statements(root_.body, [this](const Statement& statement) {
        const auto* set = std::get_if<Set>(&statement.kind);
        const bool is_plain = set != nullptr && !set->target.is_tuple && !set->target.attribute;
        if (is_plain && is_one_of(lists_, set->value)) lists_.insert(set->target.names.front());
      });
    }
  }

  // Whether a call passes a message's content to the macro, and the macro loops over that parameter.
  bool loops_over_argument(const MacroDefinition& macro) const {
    Names parameters;
    const auto [first, last] = calls_.equal_range(macro.name);
    for (auto at = first; at != last; ++at) {
      const std::vector<ExpressionPtr>& given = at->second->arguments.positional;
      for (std::size_t i = 0; i < std::min(given.size(), macro.parameters.size()); ++i) {
        if (is_content_of(messages_, given[i])) parameters.insert(macro.parameters[i].name);
      }
      for (const auto& [name, value] : at->second->arguments.named) {
        if (is_content_of(messages_, value)) parameters.insert(name);
      }
    }
    bool found = false;
    visit_statements(macro.body, [&](const Statement& statement) {
      const auto* loop = std::get_if<For>(&statement.kind);
      found = found || (loop != nullptr && parameters.find(name_of(loop->items.get())) != parameters.end());
    });
    return found;
  }

  // Whether there is a loop over a variable named "content" outside of macros.
  static bool loops_over_plain_name(const Body& body) {
    return std::any_of(body.begin(), body.end(), [](const Statement& statement) {
      if (std::holds_alternative<MacroDefinition>(statement.kind)) return false;
      const auto* loop = std::get_if<For>(&statement.kind);
      if (loop != nullptr && name_of(loop->items.get()) == "content") return true;
      const std::vector<const Body*> bodies = bodies_of(statement);
      return std::any_of(bodies.begin(), bodies.end(), [](const Body* inner) { return loops_over_plain_name(*inner); });
    });
  }

  const Template& root_;
  Names lists_;                                                 // variables that hold messages
  Names messages_;                                              // variables that hold one message
  std::multimap<std::string, const Call*, std::less<>> calls_;  // by name of the callee
};

// Whether a template loops over the parts of a message's content, and so expects a list of parts instead of a text. Inferred from
// its loops by vLLM's rules.
bool loops_over_content(const Template& root) { return Search(root).run(); }

bool has_marks(const Template& root) {
  bool found = false;
  visit_statements(root.body, [&](const Statement& statement) { found = found || std::holds_alternative<Generation>(statement.kind); });
  return found;
}

}  // namespace
}  // namespace jinja

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::Template> root)
    : root_(std::move(root)), loops_over_content_(jinja::loops_over_content(*root_)), has_marks_(jinja::has_marks(*root_)) {}

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  Result<jinja::Template> root = jinja::parse(to_valid_utf8(source));
  if (!root) return forward_error(root);
  return ChatTemplate(std::make_shared<const jinja::Template>(std::move(*root)));
}

Result<std::string> ChatTemplate::render(const Json& context) const {
  Result<MarkedText> rendered = render_marked(context);
  if (!rendered) return forward_error(rendered);
  return std::move(rendered->text);
}

Result<MarkedText> ChatTemplate::render_marked(const Json& context) const {
  if (!context.is_object())
    return error("E_CHAT_TEMPLATE", "the context of a chat template must be an object, found {}", type_name(context));
  const jinja::Value values = jinja::from_json(context);
  jinja::Interpreter interpreter{jinja::Limits::for_input(values.weight(), root_->source_bytes)};
  Result<MarkedText> rendered = interpreter.run(*root_, values);
  if (rendered) rendered->has_marks = has_marks_;
  return rendered;
}

}  // namespace slora
