#include "tools/larder/subcommands.h"

#include <CLI/CLI.hpp>

namespace larder::operate {

CLI::App& Subcommands::add(const std::string& name, const std::string& help, Run run) {
  CLI::App* const command = app_.add_subcommand(name, help);
  all_.emplace_back(command, std::move(run));
  return *command;
}

int Subcommands::run() const {
  for (const auto& [command, run_it] : all_) {
    if (command->parsed()) return run_it();
  }
  return 0;
}

}  // namespace larder::operate
