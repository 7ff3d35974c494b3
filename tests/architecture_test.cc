// Checks the source tree against the module graph that the CMake files declare: an #include goes to the own module, to a declared
// dependency, or to what that one may include. Only tests include a module's testing/ folder.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "base/testing/source_path.h"

namespace {

namespace fs = std::filesystem;
using slora::source_path;

std::map<std::string, std::set<std::string>> read_direct_dependencies() {
  std::map<std::string, std::set<std::string>> graph;
  std::ifstream file(SLORA_MODULE_GRAPH);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::set<std::string>& dependencies = graph[line.substr(0, colon)];
    std::string list = line.substr(colon + 1);
    for (char& c : list) {
      if (c == ';') c = ' ';
    }
    std::istringstream words(list);
    for (std::string word; words >> word;) dependencies.insert(word);
  }
  return graph;
}

void add_reachable(const std::map<std::string, std::set<std::string>>& graph, const std::string& module, std::set<std::string>& reached) {
  for (const std::string& next : graph.at(module)) {
    if (reached.insert(next).second) add_reachable(graph, next, reached);
  }
}

// The module that a path below src/ belongs to: the longest declared prefix, so that kernels/cpu is one.
std::string module_of(const std::map<std::string, std::set<std::string>>& graph, const std::string& path) {
  std::string best;
  for (const auto& [module, dependencies] : graph) {
    if (path.starts_with(module + "/") && module.size() > best.size()) best = module;
  }
  return best;
}

TEST(Architecture, ModulesAreDeclaredInAnOrderWithoutCycles) {
  const auto graph = read_direct_dependencies();
  ASSERT_GE(graph.size(), 10u) << "the module graph was not written";
  for (const auto& [module, dependencies] : graph) {
    for (const std::string& dependency : dependencies)
      EXPECT_TRUE(graph.contains(dependency)) << module << " depends on unknown " << dependency;
    std::set<std::string> reached;
    add_reachable(graph, module, reached);
    EXPECT_FALSE(reached.contains(module)) << module << " depends on itself";
  }
}

TEST(Architecture, EveryIncludeStaysWithinItsModulesDependencies) {
  const auto graph = read_direct_dependencies();
  const std::regex include_line(R"re(^\s*#include\s+"([^"]+)")re");
  const fs::path root = source_path("src");
  int includes = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    const fs::path extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc" && extension != ".cu" && extension != ".cuh") continue;
    const std::string path = fs::relative(entry.path(), root).string();
    const std::string module = module_of(graph, path);
    ASSERT_FALSE(module.empty()) << path << " belongs to no module";
    const std::string stem = entry.path().stem().string();
    const bool is_test = stem.ends_with("_test") || stem.ends_with("_fuzz");
    const std::string testing = module + "/testing";
    const std::string& origin = is_test && graph.contains(testing) ? testing : module;
    std::set<std::string> allowed{origin};
    add_reachable(graph, origin, allowed);
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, include_line)) continue;
      ++includes;
      const std::string target = module_of(graph, match[1].str());
      EXPECT_TRUE(fs::exists(root / match[1].str())) << path << " includes " << match[1] << ", which is not below src/";
      EXPECT_TRUE(allowed.contains(target)) << path << " includes " << match[1] << ", but " << module << " does not depend on " << target;
    }
  }
  EXPECT_GT(includes, 100);
}

// Rule of memory/ and scheduler/: no device, file, thread or clock of their own.
TEST(Architecture, DecidingModulesUseNoDeviceFileThreadOrClock) {
  const std::regex forbidden(
      R"re(#include\s+<(thread|mutex|shared_mutex|condition_variable|future|fstream|filesystem|iostream|unistd\.h|fcntl\.h)>|::now\()re");
  for (const char* module : {"memory", "scheduler"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source_path("src/" + std::string(module)))) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cc") continue;
      if (entry.path().stem().string().ends_with("_test") || entry.path().parent_path().filename() == "testing") continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) EXPECT_FALSE(std::regex_search(line, forbidden)) << entry.path() << ": " << line;
    }
  }
}

// The emulator's idea of each function that kernels call is compared with a GPU's.
TEST(Architecture, EveryFunctionOfTheDeviceHasItsCheckOnAGpu) {
  const auto text_of = [](const char* path) {
    std::stringstream text;
    text << std::ifstream(source_path(path)).rdbuf();
    return text.str();
  };
  const std::string header = text_of("src/kernels/cuda/device_nvcc.h"), checks = text_of("tests/gpu/wrappers.cu");
  const std::regex function(R"re(__device__ (?:inline )?[\w:&]+ (\w+)\()re");
  int functions = 0;
  for (std::sregex_iterator at(header.begin(), header.end(), function), end; at != end; ++at) {
    const std::string name = (*at)[1];
    if (name == "shared_address") continue;  // of others
    ++functions;
    EXPECT_TRUE(std::regex_search(checks, std::regex("\\b" + name + "[<(]")))
        << "expected a kernel of tests/gpu/wrappers.cu that calls " << name << "(), and its input in wrapper_cases.cc";
  }
  EXPECT_GT(functions, 30);
}

// What embeds slora links api without sockets: no transport's headers, none of its words.
TEST(Architecture, TheApiKnowsNoTransport) {
  const std::regex forbidden(R"re(#include\s+<(boost|sys/socket|netinet)|Http[A-Z]|Exchange)re");
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source_path("src/api"))) {
    if (entry.path().extension() != ".h" && entry.path().extension() != ".cc") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) EXPECT_FALSE(std::regex_search(line, forbidden)) << entry.path() << ": " << line;
  }
}

}  // namespace
