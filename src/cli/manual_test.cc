#include "cli/manual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"
#include "cli/operation_options.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ManualTest : public ::testing::Test {
 protected:
  ManualTest() {
    CLI::App* command = app.add_subcommand("serve", "Serve a model");
    add_operation_options(*command, arguments);
    command->add_option("model,--model", arguments.model.model, "The model's folder")->type_name("DIR");
    command->add_flag("--prefault-pool", arguments.prefault_pool, ".first what a request of roff would be");
    command->add_option_group("group")->add_option("--grouped", arguments.host, "In a group")->type_name("NAME")->default_str("one");
    command->footer("Examples:\n  slora serve a\\b\n");
    app.add_subcommand("bench", "Measure");
  }

  CLI::App app{"program", "slora"};
  ServeArguments arguments;
};

TEST_F(ManualTest, ThePageHasEveryOptionOnce) {
  const std::string page = man_page(app);
  for (const CLI::App* command : app.get_subcommands({})) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        std::string shown;
        for (const char c : "--" + name) shown += c == '-' ? "\\-" : std::string(1, c);
        EXPECT_THAT(page, HasSubstr(shown + "\\fR")) << name;
      }
    }
  }
  EXPECT_THAT(page, AllOf(HasSubstr("\\fB\\-\\-grouped\\fR \\fINAME\\fR\nIn a group [one]\n"), HasSubstr("\n\\&.first what")));
  EXPECT_THAT(page, AllOf(HasSubstr(".nf\nExamples:\n  slora serve a\\eb\n.fi\n"), HasSubstr(".SH SLORA bench\nMeasure.\n")));
}

TEST_F(ManualTest, TheCompletionKnowsCommandsOptionsAndValues) {
  const std::string script = bash_completion(app);
  EXPECT_THAT(script, HasSubstr("compgen -W 'serve bench --help --version'"));
  EXPECT_THAT(script, HasSubstr("--config) COMPREPLY=($(compgen -f -- \"$word\"))"));
  EXPECT_THAT(script, HasSubstr("--on-stall) COMPREPLY=($(compgen -W 'wait exit' -- \"$word\"))"));
  EXPECT_THAT(script, HasSubstr("--grouped) COMPREPLY=()"));
  EXPECT_THAT(script, Not(HasSubstr("--prefault-pool)"))) << "a switch has no value";
}

}  // namespace
}  // namespace slora
