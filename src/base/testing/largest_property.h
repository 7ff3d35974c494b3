#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace slora::testing {

// Keeps the largest of a running test's values in its report (--gtest_output=json), so that a test that passes shows by how much.
inline void record_largest(const std::string& name, double value) {
  static const ::testing::TestInfo* test = nullptr;
  static std::map<std::string, double> largest;  // of `test`
  const ::testing::TestInfo* const running = ::testing::UnitTest::GetInstance()->current_test_info();
  if (running == nullptr) return;
  if (running != test) largest.clear();
  test = running;
  const auto [kept, is_new] = largest.emplace(name, value);
  kept->second = std::max(kept->second, value);
  ::testing::Test::RecordProperty(name, std::to_string(kept->second * 1e6) + "e-6");
}

}  // namespace slora::testing
