// Subcommands: those of `larder`, each with what it does when it was asked for.
//
// A group of subcommands adds itself by a function of this form; what its options fill in lives as
// long as what it does, which holds it by a shared_ptr.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace larder::operate {

class Subcommands {
 public:
  // An exit status. May throw CLI::ValidationError, which names the option, for values that make no
  // sense.
  using Run = std::function<int()>;

  explicit Subcommands(CLI::App& app) : app_(app) {}

  CLI::App& add(const std::string& name, const std::string& help, Run run);

  // Does the one that was parsed.
  int run() const;

 private:
  CLI::App& app_;
  std::vector<std::pair<CLI::App*, Run>> all_;
};

}  // namespace larder::operate
