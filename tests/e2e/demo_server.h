#pragma once
#include <string>

#include "e2e/http_client.h"
#include "e2e/server_process.h"

namespace slora {

// The demo's server that read-only tests share; started once. The bar of the shared state is that no test changes it.
inline ServerProcess& demo_server() {
  static ServerProcess server(demo_arguments());
  return server;
}

inline Json chat_body(const std::string& model, const std::string& message) {
  return {{"model", model}, {"messages", {{{"role", "user"}, {"content", message}}}}, {"temperature", 0}, {"max_tokens", 48}};
}

inline std::string chat_text(const Reply& reply) {
  return reply.status == 200 ? reply.json()["choices"][0]["message"]["content"].get<std::string>()
                             : "status " + std::to_string(reply.status);
}

// Runs to the model's context however the answer goes; slow enough to be met while it runs.
inline Json long_stream_body() {
  return {{"model", "demo"}, {"prompt", "Hello"}, {"max_tokens", 400}, {"ignore_eos", true},
          {"stream", true},  {"temperature", 1},  {"seed", 1}};
}

}  // namespace slora
