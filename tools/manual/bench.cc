#include <CLI/CLI.hpp>
#include <atomic>

#include "tools/bench/commands.h"
#include "tools/manual/command_line.h"
#include "tools/manual/programs.h"

namespace larder::manual {

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
      "protocol, or Redis, over RESP2, measures how long the answers take, and checks every byte "
      "of them. It talks to "
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
