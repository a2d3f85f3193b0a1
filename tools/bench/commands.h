// The subcommands: their options, and what they do.
#pragma once

#include <atomic>
#include <memory>

namespace CLI {
class App;
}

namespace larder::bench {

class Commands {
 public:
  // Adds all options to `app`, which is parsed next. `interrupted` becomes true when it is time to
  // print what there is.
  Commands(CLI::App& app, const std::atomic<bool>& interrupted);
  ~Commands();

  // Does what was asked for; the exit status. Throws CLI::ValidationError for values that do not go
  // together, std::exception for all else that has gone wrong.
  int run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace larder::bench
