#include "api/reasoning_gate.h"

#include <algorithm>
#include <utility>

namespace slora {
namespace {

class GatedConstraint final : public TokenConstraint {
 public:
  GatedConstraint(std::unique_ptr<TokenConstraint> form, ReasoningMarks marks)
      : form_(std::move(form)), marks_(marks), at_(marks.is_open ? At::reasoning : At::start) {}

  Status fill(std::span<std::uint32_t> allowed) override {
    if (at_ == At::reasoning) {
      std::ranges::fill(allowed, ~std::uint32_t{0});
      return {};
    }
    Status filled = form_->fill(allowed);
    if (filled && at_ == At::start && marks_.open) {
      const auto token = static_cast<std::uint32_t>(*marks_.open);
      if (token / 32 < allowed.size()) allowed[token / 32] |= std::uint32_t{1} << (token % 32);
    }
    return filled;
  }

  Status accept(TokenId token) override {
    if (at_ == At::reasoning) {
      if (token == marks_.close) at_ = At::form;
      return {};
    }
    const bool opens = at_ == At::start && marks_.open == token;
    at_ = opens ? At::reasoning : At::form;
    return opens ? Status{} : form_->accept(token);
  }

  bool is_complete() const override { return at_ != At::reasoning && form_->is_complete(); }

 private:
  enum class At : std::uint8_t { start, reasoning, form };

  const std::unique_ptr<TokenConstraint> form_;
  const ReasoningMarks marks_;
  At at_;
};

class GatedForm final : public CompiledConstraint {
 public:
  GatedForm(std::shared_ptr<const CompiledConstraint> form, ReasoningMarks marks) : form_(std::move(form)), marks_(marks) {}
  std::unique_ptr<TokenConstraint> start() const override { return std::make_unique<GatedConstraint>(form_->start(), marks_); }

 private:
  const std::shared_ptr<const CompiledConstraint> form_;  // shared with other requests that have it
  const ReasoningMarks marks_;
};

}  // namespace

std::shared_ptr<const CompiledConstraint> after_reasoning(std::shared_ptr<const CompiledConstraint> form, ReasoningMarks marks) {
  return std::make_shared<const GatedForm>(std::move(form), marks);
}

}  // namespace slora
