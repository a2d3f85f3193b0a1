#include <CLI/CLI.hpp>
#include <string>
#include <utility>

#include "tools/larder/commands.h"
#include "tools/manual/command_line.h"
#include "tools/manual/programs.h"

namespace larder::manual {

Manual larder_manual() {
  CLI::App app{operate::kSummary};
  const operate::Commands commands(app);

  Manual manual;
  manual.program = "larder";
  manual.version = LARDER_VERSION;
  manual.summary = "what operators ask about servers that speak memcached";
  manual.synopsis = {"command [argument ...] [option ...]",
                     "set KEY [VALUE] [--ttl SECONDS] [option ...]",
                     "get KEY ... [option ...]",
                     "where KEY ... --servers LIST [option ...]",
                     "ring --servers LIST [option ...]",
                     "ring --list [--json]"};
  manual.description = {
      "larder asks servers that speak memcached what operators want to know of them, one or a "
      "fleet, "
      "and moves items between them. A key is looked for on the server that the ring of --ring "
      "says, "
      "as clients that are deployed decide it; commands without a key ask all servers.",
      "where and ring ask no server: they say which server a key lives on, how evenly rings spread "
      "keys, and how many keys get another server when one comes or goes.",
      "A server is HOST:PORT, HOST:PORT:WEIGHT, or one of these with a blank and the name behind "
      "it that twemproxy and spymemcached hash; IPv6 addresses stand in brackets; the path of a "
      "Unix "
      "socket begins with a slash. Rings hash hosts "
      "as they are written: a name and its address are two servers.",
      "Control characters that a server, a key or a value has are printed as %-codes (%1B), so "
      "that "
      "a terminal obeys none of them; only --raw prints bytes as they are.",
      "Where a value has a default, it stands in parentheses."};
  manual.commands.push_back(command_of(app, ""));
  manual.commands.back().help.clear();
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    manual.commands.push_back(command_of(*command, command->get_name()));
  }
  Section statuses{"Exit status", {"The largest, if there are several."}, {}};
  for (const operate::ExitStatus& row : operate::kExitStatuses) {
    statuses.entries.push_back({{std::to_string(row.status)}, {}, std::string(row.meaning) + "."});
  }
  manual.closing = {
      std::move(statuses),
      {"Environment",
       {},
       {{{"LARDER_PASSWORD"}, {}, "the password of --user, unless --password-file names a file."}}},
      {"See also", {"larderd(1), larder-bench(1)"}, {}},
  };
  return manual;
}

}  // namespace larder::manual
