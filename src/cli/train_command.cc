#include "cli/train_command.h"

#include "cli/option_range.h"

namespace slora {

CLI::App* add_train(CLI::App& app, TrainOptions& options) {
  CLI::App* command = app.add_subcommand("train", "Look at training data as an adapter would learn it");
  command->add_option("--model", options.model, "Folder with a Hugging Face model, or a GGUF file")->required()->type_name("DIR");
  command
      ->add_option("--data", options.data,
                   "Samples, one JSON object a line: messages, prompt and completion, text, instruction and output, conversations, "
                   "segments, input_ids and labels; or a folder with train.jsonl and maybe valid.jsonl (docs/training.md)")
      ->required()
      ->type_name("FILE");
  command->add_option("--eval-data", options.eval_data, "Samples of the same forms that are not learned [valid.jsonl of the folder]")
      ->type_name("FILE");
  command->add_option("--max-length", options.tokens_max, "Tokens of a sample; what comes after them is cut off")
      ->type_name("N")
      ->check(in_range(2, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--chat-template", options.chat_template,
                   "Jinja file to use instead of the model's own chat template, such as one with {% generation %} blocks")
      ->type_name("FILE");
  command->add_flag("--dry-run", options.dry_run, "Show three samples, with what is learned of them marked, and what the data holds")
      ->required();
  command->footer(
      "Examples:\n"
      "  slora train --model models/llama --data train.jsonl --dry-run\n"
      "  slora train --model models/llama --data my-data --max-length 2048 --dry-run\n"
      "where train.jsonl has lines such as\n"
      "  {\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}, {\"role\": \"assistant\", \"content\": \"Good day!\"}]}\n"
      "Exit code 1: refused, with the line and the reason.\n");
  return command;
}

}  // namespace slora
