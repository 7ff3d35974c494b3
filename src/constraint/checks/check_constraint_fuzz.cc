#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "constraint/checks/check_constraint.h"

// The input is a form: its first byte says what it is written in. Whatever it is: refused with a message, or taken, and then what is made
// of it is taken again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  if (size == 0) return 0;
  constexpr int kinds = 5;
  ConstraintSpec spec;
  spec.kind = static_cast<ConstraintKind>(data[0] % kinds);
  spec.disable_additional_properties = data[0] >= 128;
  spec.text.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Result<ConstraintSpec> checked = check_constraint(spec);
  if (!checked) {
    check(!checked.error().message.empty(), "expected a refusal to have a message");
  } else if (checked->text.size() <= spec.text.size()) {
    check(check_constraint(*checked).has_value(), "expected a checked form to be taken again");
  }
  return 0;
}
