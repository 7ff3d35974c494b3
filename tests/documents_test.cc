// Keeps the documents true where that is cheap: links and paths lead to files, the README stays short, and words of CONTRIBUTING's
// table of words that are never right stay out of documents, comments and messages.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/testing/source_path.h"

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadmeLinesMax = 150;
constexpr std::size_t kColumnsMax = 100;

// Only what is wrong wherever it stands.
const std::regex& avoided_words() {
  static const std::regex words(R"re(in the place of|\basks? for .*\bmeanwhile|\basked for meanwhile|\bcensus\b|\borderly\b)re",
                                std::regex::icase);
  return words;
}

// In what users read, which is string literals, more is wrong.
const std::regex& avoided_in_messages() {
  static const std::regex words(R"re(in the place of|\bso many\b|\basks? for\b|\basked for\b|\btold\b|\bcensus\b|\borderly\b)re",
                                std::regex::icase);
  return words;
}

fs::path root() { return slora::source_path("."); }

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// All documents of the repository, without what a build leaves behind.
std::vector<fs::path> documents() {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(root())) {
    if (entry.path().extension() == ".md") found.push_back(entry.path());
  }
  for (const char* folder : {"bench", "demo", "docs", "examples", "src", "tests", "tools"}) {
    if (!fs::exists(root() / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root() / folder)) {
      if (entry.path().extension() == ".md") found.push_back(entry.path());
    }
  }
  return found;
}

std::string shown(const fs::path& document) { return fs::relative(document, root()).string(); }

// Calls visit(line number from 1, line) for the lines of a document that are text rather than code or output.
void for_each_text_line(const fs::path& document, const std::function<void(std::size_t, const std::string&)>& visit) {
  bool is_code = false;
  std::size_t number = 0;
  for (const std::string& line : lines_of(document)) {
    ++number;
    if (std::string_view(line).substr(std::min(line.find_first_not_of(' '), line.size())).starts_with("```")) {
      is_code = !is_code;
    } else if (!is_code) {
      visit(number, line);
    }
  }
}

// In characters: bytes that continue one in UTF-8 do not count.
std::size_t columns_of(std::string_view line) {
  return static_cast<std::size_t>(std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// The anchors that GitHub makes of a document's headings.
std::vector<std::string> anchors_of(const fs::path& document) {
  std::vector<std::string> anchors;
  for_each_text_line(document, [&](std::size_t, const std::string& line) {
    if (!line.starts_with("#")) return;
    std::string anchor;
    for (const char c : line.substr(line.find_first_not_of("# "))) {
      if (c == ' ') anchor += '-';
      if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_')
        anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    anchors.push_back(anchor);
  });
  return anchors;
}

// "a.{h,cc}" as "a.h" and "a.cc"; anything else as itself.
std::vector<std::string> expanded(const std::string& path) {
  const std::size_t open = path.find('{'), close = path.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {path};
  std::vector<std::string> paths;
  std::istringstream choices(path.substr(open + 1, close - open - 1));
  for (std::string choice; std::getline(choices, choice, ',');) {
    for (const std::string& whole : expanded(path.substr(0, open) + choice + path.substr(close + 1))) paths.push_back(whole);
  }
  return paths;
}

// Recipes write x, and descriptions NAME, for what is different each time.
bool is_placeholder(const std::string& path) {
  static const std::regex capitals("[A-Z]{4,}");
  const std::string name = fs::path(path).filename().string();
  return name.starts_with("x.") || name.starts_with("x_") || path.find_first_of("<*") != std::string::npos ||
         (std::regex_search(path, capitals) && !path.ends_with(".md"));
}

// A path below the root or the document's folder, or, as ARCHITECTURE writes them, a file below src/ with or without its extension.
bool leads_somewhere(const std::string& path, const fs::path& document) {
  if (fs::exists(root() / path) || fs::exists(document.parent_path() / path)) return true;
  return std::ranges::any_of(std::array{"", ".h", ".cc"},
                             [&](const char* extension) { return fs::exists(root() / "src" / (path + extension)); });
}

TEST(Documents, ReadmeFitsTwoMinutes) {
  const std::vector<std::string> lines = lines_of(root() / "README.md");
  EXPECT_LE(lines.size(), kReadmeLinesMax);
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_LE(columns_of(lines[i]), kColumnsMax) << "README.md:" << i + 1;
}

// Of what users read in docs/. A table's row and what a program prints cannot be wrapped.
TEST(Documents, TextOfDocsFitsItsColumns) {
  int lines = 0;
  for (const fs::path& document : documents()) {
    if (!shown(document).starts_with("docs/")) continue;
    for_each_text_line(document, [&](std::size_t number, const std::string& line) {
      if (line.find_first_not_of(' ') == line.find('|')) return;
      ++lines;
      EXPECT_LE(columns_of(line), kColumnsMax) << shown(document) << ":" << number;
    });
  }
  EXPECT_GT(lines, 1000);
}

TEST(Documents, EveryLinkLeadsToAFile) {
  const std::regex link(R"re(\]\(([^)\s]+)\))re");
  int links = 0;
  for (const fs::path& document : documents()) {
    for_each_text_line(document, [&](std::size_t number, const std::string& line) {
      for (std::sregex_iterator at(line.begin(), line.end(), link), end; at != end; ++at) {
        const std::string target = (*at)[1];
        if (target.find("://") != std::string::npos) continue;
        ++links;
        const std::string path = target.substr(0, target.find('#'));
        const fs::path file = path.empty() ? document : document.parent_path() / path;
        EXPECT_TRUE(fs::exists(file)) << shown(document) << ":" << number << " links to " << target;
        if (path.size() == target.size() || !fs::exists(file)) continue;
        const std::vector<std::string> anchors = anchors_of(file);
        EXPECT_NE(std::ranges::find(anchors, target.substr(path.size() + 1)), anchors.end())
            << shown(document) << ":" << number << " links to " << target << ", which has no such heading";
      }
    });
  }
  EXPECT_GT(links, 30);
}

TEST(Documents, EveryNamedPathExists) {
  // In backticks, and beginning with a folder of the repository or with a module's.
  const std::regex path(R"re(`([a-z_]+/[A-Za-z0-9_./{},*<>-]*)`)re");
  int paths = 0;
  for (const fs::path& document : documents()) {
    for_each_text_line(document, [&](std::size_t number, const std::string& line) {
      for (std::sregex_iterator at(line.begin(), line.end(), path), end; at != end; ++at) {
        const std::string named = (*at)[1];
        const std::string top = named.substr(0, named.find('/'));
        const bool is_ours = fs::is_directory(root() / top) || fs::is_directory(root() / "src" / top);
        if (!is_ours || top == "build" || is_placeholder(named)) continue;
        ++paths;
        for (const std::string& one : expanded(named))
          EXPECT_TRUE(leads_somewhere(one, document)) << shown(document) << ":" << number << " names " << one;
      }
    });
  }
  EXPECT_GT(paths, 50);
}

TEST(Documents, AvoidWordsOfNoUse) {
  for (const fs::path& document : documents()) {
    if (document.filename() == "CONTRIBUTING.md") continue;  // has the list of them
    for_each_text_line(document, [&](std::size_t number, const std::string& line) {
      EXPECT_FALSE(std::regex_search(line, avoided_words())) << shown(document) << ":" << number << ": " << line;
    });
  }
}

// Calls visit(line number from 1, line) for the lines of every source below src/.
void for_each_source_line(const std::function<void(const fs::path&, std::size_t, const std::string&)>& visit) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root() / "src")) {
    const fs::path extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    std::size_t number = 0;
    for (const std::string& line : lines_of(entry.path())) visit(entry.path(), ++number, line);
  }
}

bool is_for_tests(const fs::path& source) {
  return source.stem().string().ends_with("_test") || source.parent_path().string().find("/testing") != std::string::npos;
}

TEST(Documents, CommentsAvoidWordsOfNoUse) {
  for_each_source_line([](const fs::path& source, std::size_t number, const std::string& line) {
    const std::size_t comment = line.find("//");
    if (comment == std::string::npos) return;
    EXPECT_FALSE(std::regex_search(line.substr(comment), avoided_words())) << shown(source) << ":" << number << ": " << line;
  });
}

TEST(Documents, MessagesAvoidWordsOfNoUse) {
  const std::regex literal(R"re("(\\.|[^"\\])*")re");
  int literals = 0;
  for_each_source_line([&](const fs::path& source, std::size_t number, const std::string& line) {
    if (is_for_tests(source) || line.find_first_not_of(' ') == line.find("//")) return;
    for (std::sregex_iterator at(line.begin(), line.end(), literal), end; at != end; ++at) {
      ++literals;
      const std::string text = at->str();
      EXPECT_FALSE(std::regex_search(text, avoided_in_messages())) << shown(source) << ":" << number << ": " << text;
    }
  });
  EXPECT_GT(literals, 1000);
}

}  // namespace
