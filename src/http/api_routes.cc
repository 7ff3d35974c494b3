#include "http/api_routes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/request_schema.h"
#include "http/openapi_document.h"
#include "http/page_routes.h"
#include "http/responses.h"

namespace slora {
namespace {

using Handed = std::shared_ptr<Exchange>;
using Schema = std::shared_ptr<const Json>;  // shared by all routes that have it

Schema schema(Json json) { return std::make_shared<const Json>(std::move(json)); }

// An object that has at least these members.
Schema object_with(std::initializer_list<std::pair<const char*, const char*>> types) {
  Json properties = Json::object(), names = Json::array();
  for (const auto& [name, type] : types) {
    properties[name] = {{"type", type}};
    names.push_back(name);
  }
  return schema({{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(names)}});
}

Json model_schema() {
  return {{"type", "object"},
          {"properties",
           {{"id", {{"type", "string"}}},
            {"object", {{"const", "model"}}},
            {"created", {{"type", "integer"}}},
            {"owned_by", {{"type", "string"}}},
            {"root", {{"type", "string"}}},
            {"parent", {{"type", Json::array({"string", "null"})}}},
            {"max_model_len", {{"type", "integer"}}}}},
          {"required", {"id", "object", "created", "owned_by", "root", "parent", "max_model_len"}}};
}

Schema models_schema() {
  return schema(
      {{"type", "object"},
       {"properties", {{"object", {{"const", "list"}}}, {"data", {{"type", "array"}, {"items", model_schema()}, {"minItems", 1}}}}},
       {"required", {"object", "data"}}});
}

// Means are null before the first of what they are means of.
Schema load_schema() {
  Json load = *object_with({{"server_load", "integer"},
                            {"requests_served", "integer"},
                            {"request_seconds_mean", "number"},
                            {"requests_per_second", "number"},
                            {"output_tokens_per_second", "number"},
                            {"adapter_hit_rate", "number"},
                            {"resident_memory_bytes", "integer"},
                            {"pool_used", "number"}});
  for (const char* mean : {"request_seconds_mean", "adapter_hit_rate"}) load["properties"][mean]["type"] = Json::array({"number", "null"});
  return schema(std::move(load));
}

RouteAbout::Answer json_answer(Schema body) { return {"application/json", std::move(body)}; }
RouteAbout::Answer text_answer() { return {"text/plain", nullptr}; }

// What generation may be refused with: no such model, a model that fails, a server that shuts down.
const std::vector<int> kGenerationRefusals = {404, 500, 503, 504};

void add_generation(std::vector<Route>& routes, GenerationRoutes& generation, std::int32_t vocabulary_size) {
  const Schema answer = object_with(
      {{"id", "string"}, {"object", "string"}, {"created", "integer"}, {"model", "string"}, {"choices", "array"}, {"usage", "object"}});
  const std::vector<RouteAbout::Answer> answers = {json_answer(answer), {"text/event-stream", nullptr}};
  routes.push_back({"POST",
                    "/v1/completions",
                    Role::user,
                    [&generation](const Handed& exchange) { generation.complete(exchange); },
                    {"Continue texts.", schema(request_schema(Endpoint::completions, vocabulary_size)), answers, kGenerationRefusals}});
  routes.push_back({"POST",
                    "/v1/chat/completions",
                    Role::user,
                    [&generation](const Handed& exchange) { generation.chat(exchange); },
                    {"Answer a conversation.", schema(request_schema(Endpoint::chat, vocabulary_size)), answers, kGenerationRefusals}});

  const Schema response = object_with({{"id", "string"},
                                       {"object", "string"},
                                       {"created_at", "integer"},
                                       {"status", "string"},
                                       {"model", "string"},
                                       {"output", "array"},
                                       {"usage", "object"}});
  routes.push_back({"POST",
                    "/v1/responses",
                    Role::user,
                    [&generation](const Handed& exchange) { generation.respond(exchange); },
                    {"Answer a conversation, in the form of OpenAI's Responses. Nothing is stored.",
                     schema(request_schema(Endpoint::responses, vocabulary_size)),
                     {json_answer(response), {"text/event-stream", nullptr}},
                     kGenerationRefusals}});

  const auto post = [&](const char* path, void (GenerationRoutes::*handler)(const Handed&), RouteAbout about) {
    routes.push_back(
        {"POST", path, Role::user, [&generation, handler](const Handed& exchange) { (generation.*handler)(exchange); }, std::move(about)});
  };
  const Schema list = object_with(
      {{"id", "string"}, {"object", "string"}, {"created", "integer"}, {"model", "string"}, {"data", "array"}, {"usage", "object"}});
  post("/v1/embeddings", &GenerationRoutes::embed,
       {"Embed texts.", schema(request_schema(Endpoint::embeddings, vocabulary_size)), {json_answer(list)}, kGenerationRefusals});
  for (const char* path : {"/v1/score", "/score"}) {
    post(path, &GenerationRoutes::score,
         {"How similar pairs of texts are: the cosine of their embeddings.",
          schema(request_schema(Endpoint::score, vocabulary_size)),
          {json_answer(list)},
          kGenerationRefusals});
  }
  const Schema ranked = object_with({{"id", "string"}, {"model", "string"}, {"results", "array"}, {"usage", "object"}});
  for (const char* path : {"/v1/rerank", "/rerank", "/v2/rerank"}) {
    post(path, &GenerationRoutes::rerank,
         {"Documents by how similar they are to a query.",
          schema(request_schema(Endpoint::rerank, vocabulary_size)),
          {json_answer(ranked)},
          kGenerationRefusals});
  }

  const Json sglang = request_schema(Endpoint::sglang, vocabulary_size), slora = request_schema(Endpoint::slora, vocabulary_size);
  const Json tgi = request_schema(Endpoint::tgi, vocabulary_size);
  const Json text = *object_with({{"text", "string"}, {"output_ids", "array"}, {"meta_info", "object"}});
  const Json generated = *object_with({{"generated_text", "array"}, {"count_output_tokens", "integer"}});
  const Json answered = *object_with({{"generated_text", "string"}});
  const auto list_of = [](const Json& items) { return Json{{"type", "array"}, {"items", items}}; };
  post("/generate", &GenerationRoutes::generate_as_sglang,
       {"Continue texts, in SGLang's form; with \"inputs\" in TGI's and LoRAX's, with \"lora_dir\" or \"model_dir\" too in S-LoRA's.",
        schema({{"anyOf", {sglang, tgi, slora}}}),
        {json_answer(schema({{"anyOf", {text, list_of(text), answered, generated}}})), {"text/event-stream", nullptr}},
        kGenerationRefusals});
  post("/generate_stream", &GenerationRoutes::generate_stream,
       {"Continue a text by server-sent events, in TGI's and LoRAX's form; with \"lora_dir\" or \"model_dir\" in S-LoRA's.",
        schema({{"anyOf", {tgi, slora}}}),
        {{"text/event-stream", nullptr}},
        kGenerationRefusals});
  post("/", &GenerationRoutes::generate_as_tgi,
       {"Continue a text, in TGI's and LoRAX's form; the answer is a list of one.",
        schema(tgi),
        {json_answer(schema(list_of(answered))), {"text/event-stream", nullptr}},
        kGenerationRefusals});
}

void add_text(std::vector<Route>& routes, TokenizeRoutes& tokenize, std::int32_t vocabulary_size) {
  const Schema tokens = object_with({{"count", "integer"}, {"max_model_len", "integer"}, {"tokens", "array"}});
  routes.push_back({"POST",
                    "/tokenize",
                    Role::user,
                    [&tokenize](const Handed& exchange) { tokenize.tokenize(exchange); },
                    {"The tokens of a text, or of a conversation as the chat template writes it.",
                     schema(TokenizeRoutes::tokenize_schema(vocabulary_size)),
                     {json_answer(tokens)},
                     {404, 503}}});
  routes.push_back({"POST",
                    "/detokenize",
                    Role::user,
                    [&tokenize](const Handed& exchange) { tokenize.detokenize(exchange); },
                    {"The text of tokens.",
                     schema(TokenizeRoutes::detokenize_schema(vocabulary_size)),
                     {json_answer(object_with({{"prompt", "string"}}))},
                     {404, 503}}});
}

void add_status(std::vector<Route>& routes, StatusRoutes& status) {
  const auto get = [&](const char* path, Role role, void (StatusRoutes::*handler)(const Handed&) const, RouteAbout about,
                       Doors doors = Doors::main) {
    routes.push_back(
        {"GET", path, role, [&status, handler](const Handed& exchange) { (status.*handler)(exchange); }, std::move(about), doors});
  };
  routes.push_back({"GET",
                    "/v1/models",
                    Role::user,
                    [&status](const Handed& exchange) { status.models(exchange); },
                    {"The base model and its adapters.", nullptr, {json_answer(models_schema())}, {}}});
  get("/v1/models/{model}", Role::user, &StatusRoutes::model,
      {"One of them; a slash in its name may be written as it is or as %2F.", nullptr, {json_answer(schema(model_schema()))}, {404}});
  const RouteAbout health{"Whether the engine is running.", nullptr, {json_answer(object_with({{"status", "string"}}))}, {503}};
  get("/health", Role::health, &StatusRoutes::health, health, Doors::every);
  get("/health_generate", Role::health, &StatusRoutes::health, health, Doors::every);
  const RouteAbout ping{"Whether the engine is running, as a status without a body.", nullptr, {{"", nullptr}}, {503}};
  get("/ping", Role::health, &StatusRoutes::ping, ping, Doors::every);
  routes.push_back({"POST", "/ping", Role::health, [&status](const Handed& exchange) { status.ping(exchange); }, ping, Doors::every});
  routes.push_back({"GET",
                    "/metrics",
                    Role::open,
                    [&status](const Handed& exchange) { status.metrics(exchange); },
                    {"Metrics in Prometheus' text format.", nullptr, {text_answer()}, {}},
                    Doors::every});
  get("/load", Role::user, &StatusRoutes::load,
      {"Requests for generation that are not answered yet, and how the server has been doing.", nullptr, {json_answer(load_schema())}, {}},
      Doors::every);
  get("/version", Role::open, &StatusRoutes::version,
      {"The server's version.", nullptr, {json_answer(object_with({{"version", "string"}}))}, {}}, Doors::every);
}

void add_page(std::vector<Route>& routes, StatusRoutes& status, PageOffer page) {
  const RouteAbout::Answer server = json_answer(object_with({{"server", "string"}}));
  const RouteAbout::Answer html{"text/html", nullptr};
  const bool is_offered = page == PageOffer::offered;
  routes.push_back({"GET",
                    "/",
                    Role::health,
                    [&status, is_offered](const Handed& exchange) {
                      if (is_offered && wants_page(exchange->request())) return answer_page(exchange);
                      status.root(exchange);
                    },
                    {"Which server this is, and where its API begins; for browsers, which accept text/html, a page.",
                     nullptr,
                     is_offered ? std::vector{server, html} : std::vector{server},
                     {}},
                    Doors::every});
  if (!is_offered) return;
  routes.push_back({"GET",
                    "/slora/page/{file}",
                    Role::open,
                    [](const Handed& exchange) { answer_page_file(exchange); },
                    {"The files of the page.", nullptr, {{"text/javascript", nullptr}, {"text/css", nullptr}}, {404}}});
}

void add_state(std::vector<Route>& routes, StateRoutes& state) {
  const Schema body = object_with({{"version", "string"},
                                   {"model", "object"},
                                   {"requests", "object"},
                                   {"tokens", "object"},
                                   {"time_to_first_token_seconds", "object"},
                                   {"inter_token_seconds", "object"},
                                   {"queue_seconds", "object"},
                                   {"pool", "object"},
                                   {"adapters", "object"}});
  routes.push_back({"GET",
                    "/slora/state",
                    Role::user,
                    [&state](const Handed& exchange) { state.state(exchange); },
                    {"What the page shows: the pool by owner, adapters (500 at most, ?after=NAME, ?filter=TEXT), requests and latencies.",
                     nullptr,
                     {json_answer(body)},
                     {429}}});
}

void add_info(std::vector<Route>& routes, InfoRoutes& info) {
  const Schema model = object_with({{"model_path", "string"}, {"served_model_name", "string"}, {"is_generation", "boolean"}});
  const Schema server = object_with({{"version", "string"}, {"served_model_name", "string"}, {"internal_states", "array"}});
  for (const char* path : {"/model_info", "/get_model_info"}) {
    routes.push_back({"GET",
                      path,
                      Role::user,
                      [&info](const Handed& exchange) { info.model(exchange); },
                      {"What the base model is.", nullptr, {json_answer(model)}, {}}});
  }
  for (const char* path : {"/server_info", "/get_server_info"}) {
    routes.push_back({"GET",
                      path,
                      Role::user,
                      [&info](const Handed& exchange) { info.server(exchange); },
                      {"The server's settings and state.", nullptr, {json_answer(server)}, {}}});
  }
  // No GET: any web page could trigger it from a browser.
  routes.push_back({"POST",
                    "/flush_cache",
                    Role::admin,
                    [&info](const Handed& exchange) { info.flush_cache(exchange); },
                    {"Drop all cached prefixes and idle adapters; refused while requests run or wait.", nullptr, {text_answer()}, {}}});
  routes.push_back(
      {"POST",
       "/pause",
       Role::admin,
       [&info](const Handed& exchange) { info.pause(exchange); },
       {"Compute nothing until /resume; requests that run or wait stay, and new ones wait.", nullptr, {text_answer()}, {503}}});
  routes.push_back({"POST",
                    "/resume",
                    Role::admin,
                    [&info](const Handed& exchange) { info.resume(exchange); },
                    {"Go on after /pause.", nullptr, {text_answer()}, {503}}});
  routes.push_back({"GET",
                    "/is_paused",
                    Role::admin,
                    [&info](const Handed& exchange) { info.is_paused(exchange); },
                    {"Whether the server is paused.", nullptr, {json_answer(object_with({{"is_paused", "boolean"}}))}, {}}});
}

void add_adapters(std::vector<Route>& routes, AdapterRoutes& adapters) {
  const auto post = [&](const char* path, void (AdapterRoutes::*handler)(const Handed&), RouteAbout about) {
    routes.push_back(
        {"POST", path, Role::admin, [&adapters, handler](const Handed& exchange) { (adapters.*handler)(exchange); }, std::move(about)});
  };
  const auto fields = [](std::span<const SmallField> table) { return schema(small_body_schema(table, 0)); };
  const Schema result = object_with({{"success", "boolean"}, {"loaded_adapters", "object"}});
  constexpr const char* load = "Register an adapter folder under a name, after reading and validating all of it.";
  constexpr const char* unload = "Unregister an adapter; running requests finish with it.";
  post("/v1/load_lora_adapter", &AdapterRoutes::load, {load, fields(AdapterRoutes::load_fields()), {text_answer()}, {404, 503}});
  post("/v1/unload_lora_adapter", &AdapterRoutes::unload, {unload, fields(AdapterRoutes::unload_fields()), {text_answer()}, {404}});
  constexpr const char* pin = "Load an adapter into the pool and keep it there.";
  post("/v1/pin_lora_adapter", &AdapterRoutes::pin, {pin, fields(AdapterRoutes::pin_fields()), {text_answer()}, {404, 503}});
  constexpr const char* unpin = "Let an adapter leave the pool when its memory is needed.";
  post("/v1/unpin_lora_adapter", &AdapterRoutes::unpin, {unpin, fields(AdapterRoutes::pin_fields()), {text_answer()}, {503}});
  constexpr const char* change = "Change how an adapter is kept in the pool: whether it is pinned, and how long it stays without requests.";
  const Schema kept = schema({{"type", "object"},
                              {"properties",
                               {{"name", {{"type", "string"}}},
                                {"pinned", {{"type", "boolean"}}},
                                {"ttl_seconds", {{"type", Json::array({"integer", "null"})}}},
                                {"resident", {{"type", "boolean"}}}}},
                              {"required", {"name", "pinned", "ttl_seconds", "resident"}}});
  post("/slora/adapters/{name}", &AdapterRoutes::change, {change, fields(AdapterRoutes::change_fields()), {json_answer(kept)}, {404, 503}});
  Route push{"PUT",
             "/slora/adapters/{name}",
             Role::admin,
             [&adapters](const Handed& exchange) { adapters.push(exchange); },
             {"Give a name the tensors in the body: a safetensors file with the text of adapter_config.json in its metadata, as "
              "\"adapter_config\". What the name meant before is replaced.",
              schema({{"type", "string"}, {"format", "binary"}}),
              {json_answer(object_with({{"name", "string"}, {"sha256", "string"}}))},
              {404, 409, 503}}};
  push.about.body_type = "application/octet-stream";
  push.body_size = BodySize::large;
  routes.push_back(std::move(push));
  post("/load_lora_adapter", &AdapterRoutes::load_as_sglang,
       {load, fields(AdapterRoutes::sglang_load_fields()), {json_answer(result)}, {404, 503}});
  post("/unload_lora_adapter", &AdapterRoutes::unload_as_sglang,
       {unload, fields(AdapterRoutes::sglang_unload_fields()), {json_answer(result)}, {404}});
}

}  // namespace

RouteTable make_routes(Apis apis, PageOffer page, std::int32_t vocabulary_size) {
  std::vector<Route> routes;
  add_generation(routes, apis.generation, vocabulary_size);
  add_text(routes, apis.tokenize, vocabulary_size);
  add_status(routes, apis.status);
  add_page(routes, apis.status, page);
  add_state(routes, apis.state);
  add_info(routes, apis.info);
  add_adapters(routes, apis.adapters);

  const auto description = std::make_shared<std::string>();  // shared with its route; it describes that too
  routes.push_back({"GET",
                    "/openapi.json",
                    Role::open,
                    [description](const Handed& exchange) { exchange->respond(json_response(*description)); },
                    {"This description.", nullptr, {json_answer(object_with({{"openapi", "string"}, {"paths", "object"}}))}, {}}});
  RouteTable table(std::move(routes));
  *description = openapi_document(table).dump();
  return table;
}

}  // namespace slora
