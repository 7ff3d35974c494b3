#pragma once
#include <cstdint>

#include "base/clock.h"
#include "base/result.h"

namespace slora {

// How many tokens the requests of one key may take in a minute, of prompts and of outputs. What was not taken adds up to one minute's. A
// request is submitted as long as anything is left; its prompt counts at once and its output as it comes, so what runs is finished, and a
// key that took more than it had waits until that is made up for. One thread, that of the jobs.
class TokenQuota {
 public:
  // Requires: positive.
  explicit TokenQuota(std::uint64_t tokens_per_minute);

  [[nodiscard]] std::uint64_t tokens_per_minute() const { return tokens_per_minute_; }
  // "token_quota_exceeded" when nothing is left.
  [[nodiscard]] Status check(Timestamp now) const;
  void take(std::uint64_t tokens, Timestamp now);
  // Until something is left; 0: it is. Rounded up.
  [[nodiscard]] int seconds_to_wait(Timestamp now) const;

 private:
  [[nodiscard]] double left_at(Timestamp now) const;

  const std::uint64_t tokens_per_minute_;
  double left_;  // at left_at_; below 0: more was taken
  Timestamp left_at_{};
};

}  // namespace slora
