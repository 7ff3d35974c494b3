#include "text/pair_call_body.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "formats/json.h"
#include "text/json_characters.h"
#include "text/python_text.h"

namespace slora {
namespace {

// A value as JSON: itself where it is JSON, else a string.
std::string json_of_value(std::string_view text) {
  const std::string bare(strip_left(strip_right(text)));
  for (const auto& [python, json] : {std::pair("True", "true"), std::pair("False", "false"), std::pair("None", "null")}) {
    if (bare == python) return json;
  }
  if (parse_json(bare)) return bare;
  std::string out = "\"";
  append_json_text(out, text);
  return out + '"';
}

}  // namespace

PairCallBody::PairCallBody(const CallForm& form, std::string name, KindOfParameter kind_of)
    : form_(form), name_(std::move(name)), kind_of_(std::move(kind_of)) {}

std::size_t PairCallBody::push(std::string_view piece, CallSink& out) {
  if (!std::exchange(has_begun_, true)) out.begin_call(name_);
  held_ += piece;
  run({.is_at_start = false, .is_complete = false}, out);
  return piece.size();
}

void PairCallBody::finish(AnswerEnd end, CallSink& out) {
  if (!std::exchange(has_begun_, true)) out.begin_call(name_);
  run({.is_at_start = false, .is_complete = true}, out);
  if (in_value_) {
    add_value(held_, out);
    held_.clear();
    if (end == AnswerEnd::finished || kind_ == ValueKind::other) end_value(out);
  }
  if (end == AnswerEnd::finished) out.add_arguments(has_pairs_ ? "}" : "{}");
  out.add_rest(held_);
  held_.clear();
}

void PairCallBody::run(StreamPattern::Place place, CallSink& out) {
  while (in_value_ ? take_value(place, out) : take_head(place, out)) {
  }
}

bool PairCallBody::take_head(StreamPattern::Place place, CallSink& out) {
  const std::optional<StreamPattern::Match> head = form_.pair_head->find(held_, 0, place);
  const std::size_t junk = head ? head->begin : held_.size();
  if (junk > 0) out.add_rest(std::string_view(held_).substr(0, junk));
  if (!head || head->is_partial || head->end == junk) {
    held_.erase(0, junk);
    return false;
  }
  const auto key = head->groups.find("key");
  begin_value(key == head->groups.end() ? std::string_view() : std::string_view(key->second), out);
  held_.erase(0, head->end);
  return true;
}

bool PairCallBody::take_value(StreamPattern::Place place, CallSink& out) {
  const std::optional<StreamPattern::Match> tail = form_.pair_tail->find(held_, 0, place);
  add_value(std::string_view(held_).substr(0, tail ? tail->begin : held_.size()), out);
  held_.erase(0, !tail ? held_.size() : tail->is_partial ? tail->begin : tail->end);
  if (!tail || tail->is_partial) return false;
  end_value(out);
  return true;
}

void PairCallBody::begin_value(std::string_view key, CallSink& out) {
  kind_ = kind_of_ ? kind_of_(name_, key) : ValueKind::text;
  std::string begin = std::exchange(has_pairs_, true) ? ", \"" : "{\"";
  append_json_text(begin, key);
  begin += kind_ == ValueKind::text ? "\": \"" : "\": ";
  out.add_arguments(begin);
  value_.clear();
  in_value_ = true;
}

void PairCallBody::add_value(std::string_view text, CallSink& out) {
  if (kind_ == ValueKind::other) {
    value_ += text;
  } else if (!text.empty()) {
    std::string escaped;
    append_json_text(escaped, text);
    out.add_arguments(escaped);
  }
}

void PairCallBody::end_value(CallSink& out) {
  out.add_arguments(kind_ == ValueKind::other ? json_of_value(value_) : "\"");
  in_value_ = false;
}

}  // namespace slora
