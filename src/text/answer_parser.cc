#include "text/answer_parser.h"

#include <algorithm>
#include <utility>

#include "text/json_characters.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::size_t kLookBackBytes = 256;

}  // namespace

// Passes on what a body finds.
class AnswerParser::Calls final : public CallSink {
 public:
  explicit Calls(AnswerParser& parser) : parser_(parser) {}

  void begin_call(std::string_view name) override {
    has_call = true;
    parser_.raw_.clear();
    parser_.add(AnswerEvent::Kind::call, name);
  }
  void add_arguments(std::string_view piece) override { parser_.add(AnswerEvent::Kind::arguments, piece); }
  void add_rest(std::string_view text) override { rest += text; }

  bool has_call = false;  // in the current field
  std::string rest;

 private:
  AnswerParser& parser_;
};

AnswerParser::AnswerParser(const AnswerFormat& format, Options options)
    : format_(format), options_(std::move(options)), calls_(std::make_unique<Calls>(*this)) {
  for (const AnswerField& field : format_.fields) {
    if (!field.open) rest_field_ = &field;
  }
}

AnswerParser::~AnswerParser() = default;

void AnswerParser::continue_from(std::string_view prompt_end) {
  buffer_ = prompt_end;
  process(false);
  events_.clear();
}

std::vector<AnswerEvent> AnswerParser::push(std::string_view piece) {
  characters_ += piece;
  move_valid_utf8(characters_, buffer_);
  process(false);
  return std::exchange(events_, {});
}

std::vector<AnswerEvent> AnswerParser::finish(AnswerEnd end) {
  buffer_ += to_valid_utf8(std::exchange(characters_, {}));
  process(true);
  if (current_ != nullptr) close({}, end);
  if (!had_mark_) add(AnswerEvent::Kind::content, blank_);
  return std::exchange(events_, {});
}

bool AnswerParser::is_in_reasoning() const { return current_ != nullptr && current_->role == AnswerField::Role::reasoning; }

bool AnswerParser::is_in_call() const { return current_ != nullptr && current_->role == AnswerField::Role::calls && calls_->has_call; }

void AnswerParser::process(bool is_complete) {
  while (step(is_complete)) {
  }
  drop_consumed();
}

void AnswerParser::drop_consumed() {
  if (pos_ <= kLookBackBytes) return;
  const auto is_within_character = [&](std::size_t at) { return (static_cast<unsigned char>(buffer_[at]) & 0xC0) == 0x80; };
  std::size_t dropped = pos_ - kLookBackBytes;
  while (dropped > 0 && is_within_character(dropped)) --dropped;  // patterns search whole characters only
  if (dropped == 0) return;
  dropped_ += dropped;
  buffer_.erase(0, dropped);
  pos_ -= dropped;
  is_at_start_ = false;
}

// Takes text up to the next mark and the mark itself; returns false when the rest has to wait for more.
bool AnswerParser::step(bool is_complete) {
  if (body_ != nullptr && !current_->close) return step_in_body();
  const StreamPattern::Place place{.is_at_start = is_at_start_, .is_complete = is_complete};
  std::size_t hold = buffer_.size();
  std::optional<StreamPattern::Match> best;
  const AnswerField* opens = nullptr;
  const auto consider = [&](const StreamPattern& mark, const AnswerField* field) {
    std::optional<StreamPattern::Match> match = mark.find(buffer_, pos_, place);
    if (!match) return;
    if (match->is_partial) {
      hold = std::min(hold, match->begin);
      return;
    }
    const bool closes_nothing = field == nullptr && current_ == nullptr;
    const bool is_repeated = field != nullptr && last_open_ == dropped_ + pos_;  // would open and close for ever
    const bool is_empty = match->end == pos_ && (closes_nothing || is_repeated);
    const auto bytes = [](const StreamPattern::Match& one) { return one.end - one.begin; };
    const bool is_first = !best || match->begin < best->begin || (match->begin == best->begin && bytes(*match) > bytes(*best));
    if (is_empty || !is_first) return;
    best = std::move(match);
    opens = field;
  };
  if (current_ != nullptr) {
    if (current_->close) consider(*current_->close, nullptr);
  } else {
    for (const AnswerField& field : format_.fields) {
      const bool is_watched = field.open && (options_.finds_calls || field.role != AnswerField::Role::calls);
      if (is_watched) consider(*field.open, &field);
    }
    if (rest_field_ != nullptr && rest_field_->close) consider(*rest_field_->close, nullptr);
  }
  if (!best || best->begin >= hold) {
    accumulate(std::string_view(buffer_).substr(pos_, hold - pos_));
    pos_ = hold;
    return false;
  }
  const bool moves = best->end > pos_ || current_ != nullptr || opens != nullptr;
  accumulate(std::string_view(buffer_).substr(pos_, best->begin - pos_));
  pos_ = best->end;
  const std::string mark = buffer_.substr(best->begin, best->end - best->begin);
  if (opens != nullptr) {
    last_open_ = dropped_ + best->end;
    raw_ = blank_ + mark;
    open(*opens, *best);
  } else {
    close(mark, AnswerEnd::finished);
  }
  return moves;
}

// A body without a closing mark ends by itself.
bool AnswerParser::step_in_body() {
  const std::string_view rest = std::string_view(buffer_).substr(pos_);
  const std::size_t before = raw_.size();
  raw_ += rest;
  const std::size_t taken = body_->push(rest, *calls_);
  if (!calls_->has_call) raw_.resize(before + taken);
  if (calls_->has_call) raw_.clear();
  pos_ += taken;
  if (taken == rest.size() && !body_->is_over()) return false;
  close({}, AnswerEnd::finished);
  return pos_ < buffer_.size();
}

void AnswerParser::accumulate(std::string_view text) {
  if (text.empty()) return;
  if (current_ == nullptr || current_->role == AnswerField::Role::content) return add_text(AnswerEvent::Kind::content, text);
  if (current_->role == AnswerField::Role::reasoning) return add_text(AnswerEvent::Kind::reasoning, text);
  if (current_->role == AnswerField::Role::dropped) return;
  if (!calls_->has_call) raw_ += text;
  const std::size_t taken = body_ended_ ? 0 : body_->push(text, *calls_);
  if (taken == text.size()) return;
  body_ended_ = true;
  calls_->rest += text.substr(taken);
}

// Text in which white space next to marks does not count.
void AnswerParser::add_text(AnswerEvent::Kind kind, std::string_view text) {
  if (is_after_mark_) {
    text = text.substr(static_cast<std::size_t>(std::ranges::find_if_not(text, is_json_space) - text.begin()));
    if (text.empty()) return;
    is_after_mark_ = false;
  }
  blank_ += text;
  const std::size_t blanks = static_cast<std::size_t>(std::find_if_not(blank_.rbegin(), blank_.rend(), is_json_space) - blank_.rbegin());
  if (blanks == blank_.size()) return;
  add(kind, std::string_view(blank_).substr(0, blank_.size() - blanks));
  blank_.erase(0, blank_.size() - blanks);
}

void AnswerParser::add(AnswerEvent::Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (!events_.empty() && events_.back().kind == kind && kind != AnswerEvent::Kind::call) {
    events_.back().text += text;
  } else {
    events_.push_back({kind, std::string(text)});
  }
}

void AnswerParser::open(const AnswerField& field, const StreamPattern::Match& mark) {
  blank_.clear();
  had_mark_ = is_after_mark_ = true;
  current_ = &field;
  if (field.role != AnswerField::Role::calls) return;
  const auto name = mark.groups.find(field.call.name_group);
  calls_->has_call = false;
  calls_->rest.clear();
  body_ended_ = false;
  body_ = make_call_body(field.call, name == mark.groups.end() ? std::string() : name->second, options_.kind_of);
}

void AnswerParser::close(std::string_view mark, AnswerEnd end) {
  blank_.clear();
  const bool is_calls = current_ != nullptr && current_->role == AnswerField::Role::calls;
  had_mark_ = is_after_mark_ = true;
  current_ = nullptr;
  if (!is_calls) return;
  raw_ += mark;
  const std::string raw = raw_;
  const std::unique_ptr<CallBody> body = std::move(body_);
  body->finish(end, *calls_);
  if (!calls_->has_call) {
    is_after_mark_ = false;
    add(AnswerEvent::Kind::content, raw);
  } else if (!std::ranges::all_of(calls_->rest, is_json_left_over)) {
    add(AnswerEvent::Kind::content, calls_->rest);
  }
  calls_->rest.clear();
  raw_.clear();
}

}  // namespace slora
