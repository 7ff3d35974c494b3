#include <algorithm>
#include <cmath>

#include "kernels/cuda/sample.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"
#include "kernels/cuda/testing/token_results.h"
#include "kernels/reference/adjust_logits.h"
#include "kernels/reference/sample.h"

namespace slora::cuda {
namespace {

// The lists of a batch, each row's part after the others'.
struct DrawnLists {
  std::vector<TokenCount> counts;
  std::vector<TokenId> tokens;
  std::vector<TokenBias> biases;
  std::vector<std::uint32_t> masks;
};

std::vector<TokenId> draw_tokens(KernelCase& kernel_case, std::int32_t vocab) {
  std::vector<TokenId> tokens;
  for (std::int32_t i = kernel_case.pick({0, 1, 5, 20}); i > 0; --i) tokens.push_back(kernel_case.draw(0, vocab - 1));
  return tokens;
}
std::vector<TokenId> sorted_once(std::vector<TokenId> tokens) {
  std::ranges::sort(tokens);
  tokens.erase(std::ranges::unique(tokens).begin(), tokens.end());
  return tokens;
}

template <class T, class Make>
SampleRow::Part append(std::vector<T>& list, const std::vector<TokenId>& tokens, Make make) {
  const SampleRow::Part part{static_cast<std::int32_t>(list.size()), static_cast<std::int32_t>(tokens.size())};
  for (const TokenId token : tokens) list.push_back(make(token));
  return part;
}

// Allows few tokens, many, or none, and sometimes none of the last ones. Sometimes the row bans all that are allowed.
void draw_mask(KernelCase& kernel_case, SampleRow& row, DrawnLists& lists, std::int32_t vocab) {
  const std::int32_t words = (vocab + 31) / 32 - (vocab > 64 && kernel_case.one_in(4) ? 1 : 0);
  row.mask = {static_cast<std::int32_t>(lists.masks.size()), words};
  lists.masks.resize(lists.masks.size() + static_cast<std::size_t>(words));
  const std::span<std::uint32_t> mask = std::span(lists.masks).last(static_cast<std::size_t>(words));
  std::vector<TokenId> allowed = sorted_once(draw_tokens(kernel_case, std::min(vocab, words * 32)));
  const bool allows_many = kernel_case.one_in(2);
  if (allows_many) std::ranges::fill(mask.first(mask.size() - 1), kernel_case.pick({~0u, 0xf0f0f0f0u, 0x00000001u}));
  for (const TokenId token : allowed) mask[static_cast<std::size_t>(token) / 32] |= 1u << (token % 32);
  if (!allows_many && kernel_case.one_in(3)) row.banned = append(lists.tokens, allowed, [](TokenId token) { return token; });
}

// Lists of tokens that name some of the row's tokens, and of biases and bans some twice.
void draw_row_lists(KernelCase& kernel_case, SampleRow& row, DrawnLists& lists, std::int32_t vocab) {
  const auto itself = [](TokenId token) { return token; };
  row.output_counts = append(lists.counts, sorted_once(draw_tokens(kernel_case, vocab)), [&](TokenId token) {
    return TokenCount{token, kernel_case.draw(1, 4)};
  });
  row.prompt_tokens = append(lists.tokens, sorted_once(draw_tokens(kernel_case, vocab)), itself);
  if (kernel_case.one_in(2)) row.banned = append(lists.tokens, draw_tokens(kernel_case, vocab), itself);
  if (!kernel_case.one_in(2)) return;
  row.logit_bias = append(lists.biases, draw_tokens(kernel_case, vocab), [&](TokenId token) {
    return TokenBias{token, kernel_case.pick({100.0f, -100.0f, 0.5f, 2.0f, -0.25f})};
  });
}

SampleRow draw_row(KernelCase& kernel_case, bool is_huge) {
  SampleRow row;
  row.temperature = kernel_case.pick({0.0f, 0.3f, 1.0f, 1.0f, 1.0f, 2.5f});
  row.top_p = kernel_case.pick({1.0f, 1.0f, 0.0f, 0.3f, 0.5f, 0.9f, 0.999f});
  if (kernel_case.one_in(2)) {
    row.min_p = kernel_case.pick({0.0f, 0.05f, 0.6f, 1.0f});
    row.top_k = kernel_case.pick({0, 1, 3, 40, 1000});
  }
  row.repetition_penalty = kernel_case.pick({1.0f, 1.0f, 1.5f, 2.0f, is_huge ? 2.0f : 0.5f});  // huge logits stay finite
  row.presence_penalty = kernel_case.pick({0.0f, 0.0f, 0.5f, -1.0f});
  row.frequency_penalty = kernel_case.pick({0.0f, 0.25f});
  row.logprob_count = kernel_case.pick({-1, -1, 0, 3});
  row.seed = static_cast<std::uint64_t>(kernel_case.draw(0, 1 << 30)) * 0x10001;
  row.choice = static_cast<std::uint32_t>(kernel_case.draw(0, 3));
  row.position = static_cast<std::uint32_t>(kernel_case.draw(0, 1000));
  row.pending_row = kernel_case.draw(-1, 1);
  return row;
}

// Rows of equal logits, of which a share may end exactly where a warp's part of the row does; or of all but one, which weighs as much as
// 270 others: the low word of a sum holds the weight of one of those, but not of two.
void draw_even_logits(KernelCase& kernel_case, std::vector<float>& logits, std::int32_t vocab) {
  std::ranges::fill(logits, 0.5f);
  for (std::size_t begin = 0; begin < logits.size(); begin += static_cast<std::size_t>(vocab)) {
    if (kernel_case.one_in(2)) logits[begin + static_cast<std::size_t>(kernel_case.draw(0, vocab - 1))] += 5.6f;
  }
}

// What the previous step drew: nothing, any token, or one that a row's lists name too.
TokenId draw_previous(KernelCase& kernel_case, const DrawnLists& lists, std::int32_t vocab) {
  const auto index_in = [&](const auto& list) {
    return static_cast<std::size_t>(kernel_case.draw(0, static_cast<std::int32_t>(list.size()) - 1));
  };
  if (!lists.counts.empty() && kernel_case.one_in(2)) return lists.counts[index_in(lists.counts)].token;
  if (!lists.tokens.empty() && kernel_case.one_in(2)) return lists.tokens[index_in(lists.tokens)];
  return kernel_case.draw(-1, vocab - 1);
}

// The scratch [rows, vocab] after the kernel: the adjusted logits of rows that adjust them; the others' are not written. `logits` and
// `adjusted` [row_count, vocab] are as they were before and after the reference.
std::vector<double> expected_scratch(std::int32_t rows, std::int32_t row_count, std::int32_t vocab, const std::vector<float>& logits,
                                     const std::vector<float>& adjusted, const SampleBatch& batch) {
  std::vector<double> expected(static_cast<std::size_t>(rows * vocab), NAN);
  for (std::int32_t row = 0; row < row_count; ++row) {
    const auto begin = static_cast<std::ptrdiff_t>(row) * vocab;
    std::vector<float> finite(logits.begin() + begin, logits.begin() + begin + vocab);
    if (!reference::make_logits_finite(finite) || !reference::adjusts_logits(SampleView(batch, static_cast<std::size_t>(row)))) continue;
    std::copy_n(adjusted.begin() + begin, vocab, expected.begin() + begin);
  }
  return expected;
}

}  // namespace

std::string check_sample(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const auto [place, rows, row_count, vocab] = draw_logits_shape(kernel_case);
  const auto size = static_cast<std::size_t>(vocab);
  std::vector<float> values = draw_logits(kernel_case, row_count, vocab);
  const bool are_even = kernel_case.one_in(3);
  if (are_even) draw_even_logits(kernel_case, values, vocab);
  std::vector<SampleRow> asked;
  DrawnLists lists;
  for (std::int32_t row = 0; row < row_count; ++row) {
    const auto logits = std::span(values).subspan(static_cast<std::size_t>(row) * size, size);
    asked.push_back(draw_row(kernel_case, *std::ranges::max_element(logits) > 1e30f));
    if (are_even) {
      asked.back() = {.top_p = kernel_case.pick({0.5f, 0.75f}), .seed = asked.back().seed};
      continue;
    }
    draw_row_lists(kernel_case, asked.back(), lists, vocab);
    if (kernel_case.one_in(2)) draw_mask(kernel_case, asked.back(), lists, vocab);
  }
  std::vector<TokenResult> previous(2);
  for (TokenResult& result : previous) result.id = draw_previous(kernel_case, lists, vocab);

  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<std::int32_t> count(device, {row_count});
  const emulator::DeviceArray<SampleRow> device_rows(device, asked);
  const emulator::DeviceArray<TokenCount> counts(device, lists.counts);
  const emulator::DeviceArray<TokenId> tokens(device, lists.tokens);
  const emulator::DeviceArray<TokenBias> biases(device, lists.biases);
  const emulator::DeviceArray<std::uint32_t> masks(device, lists.masks);
  const emulator::DeviceArray<TokenResult> device_previous(device, previous);
  const DeviceMatrix logits(kernel_case, DType::f32, rows, vocab, place, row_count, values);
  const DeviceMatrix scratch(kernel_case, DType::f32, rows, vocab, place);
  const auto out = emulator::DeviceArray<TokenResult>::unwritten(device, static_cast<std::size_t>(row_count));
  sample(kernel_case.stream(), out.data(), logits, scratch,
         {device_rows.data(), counts.data(), tokens.data(), biases.data(), masks.data(), device_previous.data(), count.data()});

  std::vector<TokenResult> expected(static_cast<std::size_t>(row_count));
  std::vector<float> overwritten = values;
  SampleBatch batch{.rows = asked, .counts = lists.counts, .tokens = lists.tokens, .biases = lists.biases, .masks = lists.masks};
  batch.previous = previous.data();
  reference::sample(expected, {reinterpret_cast<std::byte*>(overwritten.data()), DType::f32, row_count, vocab, vocab}, batch);
  const std::vector<TokenResult> got = out.download();
  for (std::int32_t row = 0; row < row_count; ++row) {
    const auto index = static_cast<std::size_t>(row);
    expect_result(kernel_case, got[index], expected[index], std::span(values).subspan(index * size, size), row);
  }
  // Equal but for the quotients of a repetition penalty.
  scratch.expect_elements("scratch", expected_scratch(rows, row_count, vocab, values, overwritten, batch), {1.2e-7, 0});
  return kernel_case.finish();
}

}  // namespace slora::cuda
