// The subcommands of `larder`, all together.
#pragma once

#include "tools/larder/exit_status.h"
#include "tools/larder/subcommands.h"

namespace CLI {
class App;
}

namespace larder::operate {

constexpr char kSummary[] = "What operators ask about servers that speak memcached.";

class Commands {
 public:
  // Adds all options to `app`, which is parsed next.
  explicit Commands(CLI::App& app);

  // Does what was asked for; the exit status. Throws CLI::ValidationError, which names the option,
  // for values that make no sense.
  int run() const { return subcommands_.run(); }

 private:
  Subcommands subcommands_;
};

}  // namespace larder::operate
