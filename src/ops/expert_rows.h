#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace slora {

// How a router chooses experts for a row.
struct RouteParams {
  std::int32_t chosen_count = 0;   // experts of each row
  bool normalises_shares = false;  // so that those of a row add up to 1
  bool has_shared_expert = false;  // that computes every row
};

// Which rows of a batch each expert of a mixture computes, and with which share its outputs enter them. Expert 0 is the shared one, which
// has all rows or, in models without it, none; the router chooses among 1 to expert_count. In device memory, T rows.
struct ExpertRows {
  std::int32_t expert_count = 0;
  std::int32_t* begins = nullptr;  // [expert_count + 2]: expert e has rows[begins[e]] to before rows[begins[e + 1]]
  std::int32_t* rows = nullptr;    // [T * (chosen_count + 1)], those of one expert ascending
  float* shares = nullptr;         // as rows

  [[nodiscard]] std::span<const std::int32_t> rows_of(std::int32_t expert) const { return {rows + begins[expert], count_of(expert)}; }
  [[nodiscard]] std::span<const float> shares_of(std::int32_t expert) const { return {shares + begins[expert], count_of(expert)}; }

 private:
  [[nodiscard]] std::size_t count_of(std::int32_t expert) const { return static_cast<std::size_t>(begins[expert + 1] - begins[expert]); }
};

}  // namespace slora
