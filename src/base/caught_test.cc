#include "base/caught.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <system_error>

namespace slora {
namespace {

template <class Exception>
std::string code_of(Exception exception) {
  const auto failing = [&]() -> Status { throw exception; };
  return run_caught(failing).error().code;
}

TEST(Caught, WhatRunsOutIsToldFromWhatIsBroken) {
  EXPECT_EQ(code_of(std::bad_alloc()), "out_of_memory");
  EXPECT_EQ(code_of(std::length_error("vector")), "out_of_memory");
  EXPECT_EQ(code_of(std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again))), "out_of_memory");
  EXPECT_EQ(code_of(std::logic_error("odd")), "internal_error");
  EXPECT_EQ(code_of(1), "internal_error");
}

TEST(Caught, ResultsPass) {
  EXPECT_EQ(run_caught([]() -> Result<int> { return 3; }).value(), 3);
  EXPECT_EQ(run_caught([]() -> Result<int> { return error("bad", "no"); }).error().code, "bad");
}

}  // namespace
}  // namespace slora
