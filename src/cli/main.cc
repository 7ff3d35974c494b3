#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log_record.h"
#include "cli/adapter_options.h"
#include "cli/bench_program.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/instructions_option.h"
#include "cli/manual.h"
#include "cli/operation_options.h"
#include "cli/option_range.h"
#include "cli/runtime_arguments.h"
#include "cli/train_command.h"
#include "engine/runtime.h"
#include "formats/adapter_config.h"

namespace {

using slora::ConvertArguments;
using slora::GenerateArguments;
using slora::in_range;
using slora::InspectArguments;
using slora::MergeArguments;
using slora::ModelArguments;
using slora::real_range;
using slora::ServeArguments;

void add_model_options(CLI::App& command, ModelArguments& model) {
  command.add_option("model,--model", model.model, "Base model: a folder (config.json, *.safetensors, tokenizer.json), or a GGUF file")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--adapters", model.adapters,
                  "Folder of adapter folders (each is served under its folder's name), or one adapter folder; repeatable")
      ->type_name("DIR");
  command
      .add_option("--lora-modules", model.lora_modules,
                  "Adapters under names of your choice; several may follow, also as JSON: {\"name\": NAME, \"path\": DIR}")
      ->type_name("NAME=DIR");
  command
      .add_option("--served-model-name", model.served_model_names,
                  "Name of the base model in requests and answers; several may follow [its folder's name]")
      ->type_name("NAME");
  command
      .add_option("--backend", model.backend,
                  "cpu, cuda (an NVIDIA GPU), reference (slow and exact), or auto: cuda where it can be used, else cpu")
      ->type_name("NAME")
      ->capture_default_str();
  command
      .add_option("--weights", model.weights,
                  "How weights are kept: bf16, or int8: half the memory and nearly twice as fast, for slightly other answers, or int4: a "
                  "third of the memory; files in four bits keep their numbers, small models in bf16 lose a few percent (both: cpu backend "
                  "only; adapters stay as they are), or "
                  "nf4-dequantised: bf16, of what NF4 keeps of the weights, for adapters that were "
                  "trained on a base in 4 bits (QLoRA)")
      ->type_name("NAME")
      ->capture_default_str();
  slora::add_instructions_option(command, model.instructions);
  command
      .add_option("--cuda-products", model.cuda_products,
                  "What multiplies by the base model's weights on a GPU: own (kernels of this program), or cublaslt (NVIDIA's library; an "
                  "answer may then depend on the rest of its batch)")
      ->type_name("NAME")
      ->capture_default_str();
  command.add_option("--threads", model.threads, "Threads that compute; 0: one per core")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str();
  command
      .add_option("--shards", model.shards,
                  "Parts that the model is cut into, each computed by threads of its own; must divide the model's heads and widths")
      ->type_name("N")
      ->check(in_range(1, slora::kShardsMax))
      ->capture_default_str();
  command
      .add_option("--pool-memory", model.pool_memory,
                  "Memory for KV cache, adapters and prefixes together, such as 4GiB or 512MB [half of what is free, at most 8GiB; cuda: "
                  "92 % of what is free]")
      ->type_name("SIZE");
  command.add_option("--page-tokens", model.page_tokens, "Tokens per page, a power of two up to 64 [what brings a page nearest to 1 MiB]")
      ->type_name("N")
      ->check(in_range(1, 64));
  command.add_option("--max-model-len", model.max_model_len, "Prompt and output of one request, in tokens [what model and pool allow]")
      ->type_name("N")
      ->check(in_range(2, 1 << 24));
  command
      .add_option(
          "--max-adapter-len", model.max_adapter_len,
          "The same with an adapter that extends the context (LongLoRA); 0: these are refused [what adapter and pool allow; cuda: 0]")
      ->type_name("N")
      ->check(in_range(0, 1 << 24));
  command.add_option("--policy", model.policy, "Which request is served first (" + slora::policy_summaries() + ")")
      ->type_name("NAME")
      ->capture_default_str();
  command
      .add_option("--adapter-group-max", model.adapter_group_max,
                  "Different adapters in one batch, as long as enough requests for them wait; 0: any number [8] (--policy adapter-grouped)")
      ->type_name("N")
      ->check(in_range(0, 1 << 20));
  command
      .add_option("--adapter-group-memory", model.adapter_group_memory,
                  "The same for the memory of these adapters, such as 512MiB [any] (--policy adapter-grouped)")
      ->type_name("SIZE");
  command
      .add_option("--adapter-wait-max", model.adapter_wait_seconds,
                  "Time after which a request comes first whatever its adapter [2] (--policy adapter-grouped)")
      ->type_name("SECONDS")
      ->check(real_range(0, 1e6));
  command
      .add_option("--first-token-slo", model.first_token_slo_seconds,
                  "Time from a request's arrival to its first token; what would take longer is answered 503 [6] (--policy deadline)")
      ->type_name("SECONDS")
      ->check(real_range(0.001, 1e6));
  command
      .add_option(
          "--first-token-reward", model.first_token_reward,
          "What counts when not all can be in time: satisfaction (an earlier token is worth more) or attainment (as many in time as "
          "can be) [satisfaction] (--policy deadline)")
      ->type_name("NAME")
      ->check(slora::one_of({"satisfaction", "attainment"}));
  command.add_option("--chat-template", model.chat_template, "Jinja file to use instead of the model's own chat template")
      ->type_name("FILE");
}

CLI::App* add_serve(CLI::App& app, ServeArguments& arguments) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model and its adapters over HTTP, as OpenAI's API does");
  add_model_options(*command, arguments.model);
  command->add_option("--host", arguments.host, "Address to listen on; one that other machines reach needs --api-key")
      ->type_name("ADDRESS")
      ->capture_default_str();
  command->add_option("--port", arguments.port, "Port to listen on; 0: any that is free")
      ->type_name("N")
      ->check(in_range(0, slora::kPortMax))
      ->capture_default_str();
  command->add_option("--api-key", arguments.api_keys, "Key that clients must send as \"Authorization: Bearer KEY\"; repeatable")
      ->type_name("KEY")
      ->envname("SLORA_API_KEY");
  command
      ->add_option("--admin-api-key", arguments.admin_api_keys,
                   "Key of the operator, who may do all that others may, and load and unload adapters; repeatable. Without any key at all, "
                   "everybody on this machine may")
      ->type_name("KEY")
      ->envname("SLORA_ADMIN_API_KEY");
  command
      ->add_option("--api-key-file", arguments.api_key_file,
                   "JSON file of more keys, as SHA-256, with their tenants and the models they may use; read again when it changes")
      ->type_name("FILE");
  command->add_flag(
      "--prefault-pool", arguments.prefault_pool,
      "Take the pool's memory from the system at the start instead of at first use: the start takes longer, the first prompts "
      "and adapter loads are as fast as later ones");
  slora::add_adapter_options(*command, arguments);
  command->add_option("--max-waiting", arguments.model.waiting_max, "Sequences that may run or wait; more are answered 429")
      ->type_name("N")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--max-waiting-per-client", arguments.waiting_per_client_max,
                   "Sequences of one client that may run or wait, and never more than are free for the others; more are answered 429. "
                   "A client is a tenant; without a key, a connection [--max-waiting]")
      ->type_name("N")
      ->check(in_range(1, 1 << 20));
  command
      ->add_option("--request-memory", arguments.request_memory,
                   "Memory for what requests hold besides the pool: bodies, texts, tokens, answers, unsent bytes; requests beyond it are "
                   "answered 503, those of a client that holds more than is left for others 429")
      ->type_name("SIZE")
      ->capture_default_str();
  command
      ->add_option(
          "--pooling", arguments.pooling,
          "Which hidden states make an embedding: last, of the last token, or mean, of all [as 1_Pooling/config.json of the model's "
          "folder says; last without it]")
      ->type_name("NAME")
      ->check(slora::one_of({"last", "mean"}));
  slora::add_operation_options(*command, arguments);
  command->add_option("--drain-time", arguments.drain_seconds, "Seconds that running requests may take to finish after SIGTERM")
      ->type_name("N")
      ->check(in_range(0, 86400))
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  slora serve --model models/Qwen2.5-0.5B-Instruct --adapters my-adapters\n"
      "  slora serve --model models/llama --lora-modules sql=adapters/sql-v3 poems=adapters/poems --port 8080\n"
      "  slora serve --model models/llama --host 0.0.0.0 --api-key \"$KEY\" --pool-memory 16GiB\n"
      "Options of vLLM, SGLang, TGI and LoRAX are taken too: docs/peers.md\n"
      "An adapter is the \"model\" of a request:\n"
      "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "       -d '{\"model\": \"sql\", \"messages\": [{\"role\": \"user\", \"content\": \"Count all users\"}]}'\n");
  return command;
}

CLI::App* add_generate(CLI::App& app, GenerateArguments& arguments) {
  CLI::App* command = app.add_subcommand("generate", "Run prompts through a model and its adapters, without a server");
  add_model_options(*command, arguments.model);
  command->add_option("--adapter", arguments.adapter, "Adapter to use: a name, or an adapter's folder [the base model]")->type_name("NAME");
  CLI::Option_group* input = command->add_option_group("What to run (exactly one)");
  input->add_option("--prompt", arguments.prompt, "Text that the model continues");
  input->add_option("--message", arguments.message, "Message that the model answers, by its chat template");
  input
      ->add_option(
          "--conversation", arguments.conversation,
          "JSON of a conversation to answer: a list of messages, or an object with \"messages\", \"tools\" and any other field of the API; "
          "- reads standard input")
      ->type_name("FILE");
  input
      ->add_option("--input", arguments.input,
                   "JSONL, one request per line: \"prompt\" or \"messages\", \"adapter\", and any field of the API (max_tokens, "
                   "temperature, stop...); - reads "
                   "standard input. All lines run in one batch")
      ->type_name("FILE");
  input->require_option(1);
  command->add_option("--max-tokens", arguments.max_tokens, "Tokens to generate, at most")
      ->type_name("N")
      ->check(in_range(1, 1 << 24))
      ->capture_default_str();
  command->add_option("--temperature", arguments.temperature, "0: always the most likely token")
      ->type_name("T")
      ->check(real_range(0, 100))
      ->capture_default_str();
  command->add_option("--seed", arguments.seed, "Makes draws repeatable [a random one]")
      ->type_name("N")
      ->check(in_range(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()));
  command->footer(
      "Examples:\n"
      "  slora generate --model models/llama --prompt 'Once upon a time'\n"
      "  slora generate --model models/llama --adapter adapters/sql-v3 --message 'Count all users'\n"
      "  slora generate --model models/llama --conversation - <<< '[{\"role\": \"user\", \"content\": \"Hello\"}]'\n"
      "  slora generate --model models/llama --adapters adapters --input requests.jsonl > answers.jsonl\n"
      "where requests.jsonl has lines such as\n"
      "  {\"prompt\": \"SELECT\", \"adapter\": \"sql-v3\", \"max_tokens\": 64}\n"
      "Answers come in the order of the lines. Exit code 1: a request was refused or failed.\n");
  return command;
}

CLI::App* add_inspect(CLI::App& app, InspectArguments& arguments) {
  CLI::App* command = app.add_subcommand("inspect", "Say what a model or adapter folder is, what it takes, or why it is refused");
  command->add_option("folder", arguments.folder, "A model folder or an adapter folder")->required()->type_name("DIR");
  command->add_option("--model", arguments.model, "For an adapter: the base model to check it against")->type_name("DIR");
  command->add_option("--backend", arguments.backend, "Whose pages to count: cpu, cuda, reference or auto")
      ->type_name("NAME")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  slora inspect models/llama\n"
      "  slora inspect adapters/sql-v3 --model models/llama\n"
      "Exit code 1: refused, with the reason.\n");
  return command;
}

CLI::App* add_convert(CLI::App& app, ConvertArguments& arguments) {
  CLI::App* command =
      app.add_subcommand("convert", "Make a PEFT folder of an adapter of mlx-lm, torchtune or llama.cpp, or of one with pickled weights");
  command->add_option("folder", arguments.folder, "The adapter's folder")->required()->type_name("DIR");
  command->add_option("--out", arguments.out, "The folder to make, which must not exist")->required()->type_name("DIR");
  command->add_option("--model", arguments.model, "The base model, for adapters whose numbers have an order that depends on its heads")
      ->type_name("DIR");
  command->add_option("--rope-factor", arguments.rope_factor, "LongLoRA: the context it was trained for, divided by the base's")
      ->type_name("F")
      ->check(real_range(1, slora::kRopeFactorMax));
  command->footer(
      "Examples:\n"
      "  slora convert downloads/pickled-lora --out adapters/sql\n"
      "  slora convert downloads/long-lora-16k --out adapters/long --rope-factor 4\n"
      "  slora convert gguf-lora --out adapters/poems --model models/llama\n"
      "Pickles are read as data: nothing in them is executed.\n");
  return command;
}

CLI::App* add_merge(CLI::App& app, MergeArguments& arguments) {
  CLI::App* command = app.add_subcommand("merge", "Write a model that has an adapter in its weights");
  command->add_option("--model", arguments.model, "The base model")->required()->type_name("DIR");
  command->add_option("--adapter", arguments.adapter, "The adapter's folder")->required()->type_name("DIR");
  command->add_option("--out", arguments.out, "The folder to write, which must not exist yet")->required()->type_name("DIR");
  command->add_option("--weight", arguments.weight, "Factor of what the adapter adds, not 0")
      ->type_name("W")
      ->check(real_range(-1000, 1000))
      ->capture_default_str();
  command->add_option("--dtype", arguments.dtype, "Type of all weights: f32 or bf16 [as the base's]")
      ->type_name("NAME")
      ->check(slora::one_of({"f32", "bf16"}));
  command
      ->add_option("--weights", arguments.weights,
                   "nf4-dequantised: what NF4 keeps of the base, for an adapter that was trained on a base in 4 bits (QLoRA) [as its files "
                   "have them]")
      ->type_name("NAME")
      ->check(slora::one_of({std::string(slora::kNf4Weights)}));
  command->footer(
      "Examples:\n"
      "  slora merge --model models/llama --adapter adapters/sql-v3 --out models/llama-sql\n"
      "  slora merge --model models/llama --adapter adapters/formal --weight 0.5 --dtype f32 --out models/llama-formal\n"
      "The folder appears when it is complete. Exit code 1: refused, with the reason.\n");
  return command;
}

int run(int argc, char** argv) {
  // Before anything is parsed: the words after it are another program's.
  if (argc > 1 && std::string_view(argv[1]) == "bench") return slora::run_bench_program(argv);
  CLI::App app("slora: one base model, many LoRA adapters, one batch", "slora");
  app.require_subcommand(1);
  app.set_version_flag("--version", slora::version_text(argv[0]));
  app.footer("Start with: slora serve --help\n");
  app.get_formatter()->column_width(36);
  ServeArguments serve;
  GenerateArguments generate;
  InspectArguments inspect;
  ConvertArguments convert;
  const CLI::App* serve_command = add_serve(app, serve);
  const CLI::App* generate_command = add_generate(app, generate);
  add_inspect(app, inspect);
  const CLI::App* convert_command = add_convert(app, convert);
  MergeArguments merge;
  const CLI::App* merge_command = add_merge(app, merge);
  slora::TrainOptions train;
  const CLI::App* train_command = slora::add_train(app, train);
  app.add_subcommand("bench", "Measure how near slora comes to what this machine can do");  // listed here, run above
  const CLI::App* man_command = app.add_subcommand("man-page", "Print this help as a page for man(1)");
  const CLI::App* completion_command = app.add_subcommand("completion", "Print what bash needs to complete these commands");
  for (CLI::App* command : app.get_subcommands({})) slora::take_the_last_values(*command);
  std::vector<std::string> words(argv + 1, argv + argc), notes;
  if (argc > 1 && (words[0] == "serve" || words[0] == "generate")) {
    const CLI::App* command = words[0] == "serve" ? serve_command : generate_command;
    ServeArguments tried;
    auto own = slora::read_command_words({words.begin() + 1, words.end()}, *command, [&](CLI::App& to) { return add_serve(to, tried); });
    if (!own) return slora::report(own.error());
    notes = std::move(own->notes);
    words.erase(words.begin() + 1, words.end());
    words.insert(words.end(), own->words.begin(), own->words.end());
    serve.config_places = std::move(own->places);
  }
  std::ranges::reverse(words);  // as the parser takes them
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& failed) {
    return slora::report_parse(app, failed);
  }
  if (serve.log_format == "json") slora::set_log_format(slora::LogFormat::json);
  for (const std::string& note : notes) slora::log_info("{}", note);
  if (man_command->parsed()) return std::fputs(slora::man_page(app).c_str(), stdout) < 0 ? 1 : 0;
  if (completion_command->parsed()) return std::fputs(slora::bash_completion(app).c_str(), stdout) < 0 ? 1 : 0;
  if (serve_command->parsed()) return slora::run_serve(serve);
  if (generate_command->parsed()) return slora::run_generate(generate);
  if (convert_command->parsed()) return slora::run_convert(convert);
  if (merge_command->parsed()) return slora::run_merge(merge);
  if (train_command->parsed()) return slora::run_train(train);
  return slora::run_inspect(inspect);
}

}  // namespace

// Only running out of something leaves the commands as an exception, and is no bug: one line says so.
int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("slora: out of memory: the system gives this process no more; look at ulimit -v and at its cgroup's limit\n", stderr);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "slora: the system refuses what the program needs: %s\n", failure.what());
  }
  return 1;
}
