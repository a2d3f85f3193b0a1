#include "tools/manual/programs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "daemon/options.h"
#include "tools/manual/completion.h"
#include "tools/manual/roff.h"

namespace larder::manual {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("larderd's page and completions name every option that is offered, with its help") {
  const Manual manual = larderd_manual();
  const std::string page = man_page(manual, "2024-12-31");
  std::string bash = bash_completion(manual);
  std::replace(bash.begin(), bash.end(), '\'', ' ');  // around lists of words
  const std::string zsh = zsh_completion(manual);
  for (const daemon::Option& option : daemon::options()) {
    std::string names = option.names;
    INFO(names);
    const bool offered = option.help != nullptr;
    std::string name = names.substr(names.find(',') + 1);
    CHECK(has(page, "\\fB" + roff_text(name) + "\\fR") == offered);
    CHECK(has(bash, name + " ") == offered);
    if (offered) CHECK(has(page, roff_text(option.help)));
    if (option.argument != nullptr) name += name.starts_with("--") ? "=" : "+";
    CHECK(has(zsh, "'*" + name + "[") == offered);
  }
  for (const daemon::PrintOption& option : daemon::print_options()) {
    CHECK(has(page, roff_text(option.help)));
  }
  for (const daemon::SubOption& option : daemon::sub_options()) {
    INFO(option.name);
    const bool named = option.help == nullptr || *option.help != '\0';
    const std::string equals = option.takes == daemon::Takes::Value ? "=" : "";
    CHECK(has(page, "\n\\fB" + roff_text(option.name) + "\\fR") == named);
    CHECK(has(bash, " " + std::string(option.name) + equals) == named);
    CHECK(has(zsh, "'" + std::string(option.name) + "[") == named);
  }
}

TEST_CASE("larder-bench's page and completions name its subcommands and their options") {
  const Manual manual = bench_manual();
  const std::string page = man_page(manual, "2024-12-31");
  REQUIRE(manual.commands.size() == 5);
  CHECK(manual.commands[0].name.empty());
  for (const char* const name : {"RUN", "COMPARE", "FILL", "GROWTH"}) {
    CHECK(has(page, std::string(".SH \"LARDER\\-BENCH ") + name + "\"\n"));
  }
  CHECK(has(page, "\\fB\\-\\-value\\-bytes\\fR=\\fISIZES\\fR\nlikewise (100)\n"));
  CHECK(has(page, "\\fB\\-\\-noreply\\fR\n"));  // a flag
  CHECK(has(page, "\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n"));
  size_t entries = 0;
  for (const Command& command : manual.commands) {
    for (const Section& section : command.sections) entries += section.entries.size();
  }
  CHECK(entries > 100);
  CHECK(has(bash_completion(manual), "run|compare|fill|growth) command=$word"));
}

TEST_CASE("larder's page and completions name its subcommands and their options") {
  const Manual manual = larder_manual();
  const std::string page = man_page(manual, "2024-12-31");
  CHECK(has(page, ".SH \"LARDER WHERE\"\n"));
  CHECK(has(page, ".SH \"LARDER RING\"\n"));
  CHECK(has(page, "\\fB\\-\\-format\\fR=\\fISOFTWARE\\fR\n"));
  CHECK(has(bash_completion(manual), "where|ring) command=$word"));
  for (const Command& command : manual.commands) {
    for (const Section& section : command.sections) {
      for (const Entry& entry : section.entries) CHECK_FALSE(entry.names.empty());
    }
  }
}

}  // namespace
}  // namespace larder::manual
