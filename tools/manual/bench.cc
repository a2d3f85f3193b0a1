#include <CLI/CLI.hpp>
#include <atomic>
#include <utility>

#include "tools/bench/commands.h"
#include "tools/manual/programs.h"

namespace larder::manual {
namespace {

Entry entry_of(const CLI::Option& option) {
  Entry entry;
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  // A flag has no type; a value without one that we chose has CLI11's: TEXT, INT ...
  if (option.get_items_expected_max() > 0) entry.argument = option.get_type_name();
  entry.help = option.get_description();
  return entry;
}

// As --help has them: options by group, in the order in which groups were first used.
Command command_of(const CLI::App& app, std::string name) {
  Command command{std::move(name), app.get_description(), {}};
  for (const CLI::Option* option : app.get_options()) {
    const std::string& group = option->get_group();
    auto section = command.sections.begin();
    while (section != command.sections.end() && section->title != group) ++section;
    if (section == command.sections.end()) {
      section = command.sections.insert(section, Section{group, {}, {}});
    }
    section->entries.push_back(entry_of(*option));
  }
  return command;
}

}  // namespace

Manual bench_manual() {
  CLI::App app{"A load for memcached-compatible servers that checks every reply."};
  const std::atomic<bool> never{false};
  const bench::Commands commands(app, never);

  Manual manual;
  manual.program = "larder-bench";
  manual.version = LARDER_VERSION;
  manual.summary = "a load for memcached-compatible servers that checks every reply";
  manual.synopsis = {"[run] [option ...]"};
  manual.description = {
      "larder-bench asks a server that speaks memcached, over the classic text, meta or binary "
      "protocol, measures how long the answers take, and checks every byte of them. It talks to "
      "127.0.0.1:11211 unless told otherwise.",
      "Where a value has a default, it stands in parentheses."};
  manual.commands.push_back(command_of(app, ""));
  manual.commands.back().help.clear();
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string& name = command->get_name();
    if (name != "run") manual.synopsis.push_back(name + " [option ...]");
    manual.commands.push_back(command_of(*command, name));
  }
  manual.closing = {
      {"Exit status",
       {},
       {{{"0"}, {}, "all replies were right."},
        {{"1"}, {}, "a reply was wrong, or a server could not be reached or went away."},
        {{"2"}, {}, "an option makes no sense."}}},
      {"See also", {"larderd(1)"}, {}},
  };
  return manual;
}

}  // namespace larder::manual
