#include "cli/manual.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace slora {
namespace {

// As roff prints it: no hyphenation or typography of options, and no line that is a request.
std::string roff(std::string_view text) {
  std::string out;
  bool at_line_start = true;
  for (const char c : text) {
    if (at_line_start && (c == '.' || c == '\'')) out += "\\&";
    at_line_start = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

bool is_shown(const CLI::Option& option) { return !option.get_group().empty() && !option.get_description().empty(); }

// The options of a command and of the groups in it.
std::vector<const CLI::Option*> options_of(const CLI::App& command) {
  std::vector<const CLI::Option*> options;
  for (const CLI::Option* option : command.get_options()) {
    if (is_shown(*option)) options.push_back(option);
  }
  for (const CLI::App* part : command.get_subcommands([](const CLI::App* found) { return found->get_name().empty(); })) {
    const std::vector<const CLI::Option*> more = options_of(*part);
    options.insert(options.end(), more.begin(), more.end());
  }
  return options;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

// "-h, --help", or the name of what stands without a dash.
std::string names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  if (names.empty()) names.push_back(option.get_name());
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string roff_option(const CLI::Option& option) {
  std::string out = fmt::format(".TP\n\\fB{}\\fR", roff(names_of(option)));
  const bool is_switch = option.get_items_expected_max() == 0;
  if (!is_switch) out += fmt::format(" \\fI{}\\fR", roff(option.get_type_name()));
  out += "\n" + roff(option.get_description());
  if (!is_switch && !option.get_default_str().empty()) out += fmt::format(" [{}]", roff(option.get_default_str()));
  if (!option.get_envname().empty()) out += fmt::format(" (environment: {})", roff(option.get_envname()));
  return out + "\n";
}

// A footer's examples keep their lines.
std::string roff_footer(const std::string& footer) { return footer.empty() ? "" : fmt::format(".PP\n.nf\n{}.fi\n", roff(footer)); }

// What a value may be, as bash's compgen takes it; empty: anything.
std::string completion_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type == "DIR") return "-d";
  if (type == "FILE") return "-f";
  if (type.find('|') == std::string::npos) return {};
  std::string words = type;
  std::ranges::replace(words, '|', ' ');
  return fmt::format("-W '{}'", words);
}

std::string bash_case_of(const CLI::App& command) {
  std::string values;
  std::vector<std::string> names;
  bool takes_folder = false;
  for (const CLI::Option* option : options_of(command)) {
    takes_folder = takes_folder || option->get_positional();
    for (const std::string& name : option->get_lnames()) {
      names.push_back("--" + name);
      const std::string completion = completion_of(*option);
      if (option->get_items_expected_max() == 0) continue;
      values += fmt::format("        --{}) COMPREPLY=({}); return ;;\n", name,
                            completion.empty() ? std::string() : fmt::format("$(compgen {} -- \"$word\")", completion));
    }
  }
  return fmt::format(
      "    {})\n"
      "      case $previous in\n{}"
      "      esac\n"
      "      options='{}'\n{}"
      "      ;;\n",
      command.get_name(), values, fmt::join(names, " "), takes_folder ? "      folders=-d\n" : "");
}

}  // namespace

std::string man_page(const CLI::App& app) {
  std::string out = fmt::format(".TH SLORA 1 \"\" \"slora {}\" \"User Commands\"\n.SH NAME\nslora \\- {}\n", SLORA_VERSION,
                                roff("one base model, many LoRA adapters, one batch"));
  out += ".SH SYNOPSIS\n";
  for (const CLI::App* command : commands_of(app)) {
    out += fmt::format(".B slora {}\n[\\fIoption\\fR ...]\n.br\n", roff(command->get_name()));
  }
  out += ".SH OPTIONS\n";
  for (const CLI::Option* option : options_of(app)) out += roff_option(*option);
  for (const CLI::App* command : commands_of(app)) {
    out += fmt::format(".SH SLORA {}\n{}.\n", roff(command->get_name()), roff(command->get_description()));
    for (const CLI::Option* option : options_of(*command)) out += roff_option(*option);
    out += roff_footer(command->get_footer());
  }
  return out;
}

std::string bash_completion(const CLI::App& app) {
  std::vector<std::string> names;
  std::string cases;
  for (const CLI::App* command : commands_of(app)) {
    names.push_back(command->get_name());
    cases += bash_case_of(*command);
  }
  return fmt::format(
      "# Completion of slora for bash, written by: slora completion\n"
      "_slora() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} options='' folders=''\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W '{} --help --version' -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case ${{COMP_WORDS[1]}} in\n{}"
      "  esac\n"
      "  if [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
      "  elif [ -n \"$folders\" ]; then\n"
      "    COMPREPLY=($(compgen $folders -- \"$word\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _slora slora\n",
      fmt::join(names, " "), cases);
}

}  // namespace slora
