#include "text/call_body.h"

#include <utility>

#include "text/json_call_body.h"
#include "text/pair_call_body.h"
#include "text/python_call_body.h"

namespace slora {

std::unique_ptr<CallBody> make_call_body(const CallForm& form, std::string name, const KindOfParameter& kind_of) {
  switch (form.body) {
    case CallForm::Body::pairs:
      return std::make_unique<PairCallBody>(form, std::move(name), kind_of);
    case CallForm::Body::python:
      return std::make_unique<PythonCallBody>();
    case CallForm::Body::json:
      break;
  }
  if (form.name_group.empty()) return std::make_unique<JsonCallBody>(form);
  return std::make_unique<JsonArgumentsBody>(form, std::move(name));
}

}  // namespace slora
