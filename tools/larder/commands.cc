#include "tools/larder/commands.h"

#include <CLI/CLI.hpp>
#include <string>

#include "tools/larder/check_command.h"
#include "tools/larder/copy_commands.h"
#include "tools/larder/item_commands.h"
#include "tools/larder/keys_command.h"
#include "tools/larder/node_commands.h"
#include "tools/larder/ring_commands.h"
#include "tools/larder/top_command.h"

namespace larder::operate {
namespace {

std::string footer() {
  std::string text = "Exit status, the largest if there are several:\n";
  for (const ExitStatus& row : kExitStatuses) {
    text += "  " + std::to_string(row.status) + "  " + row.meaning + "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace

Commands::Commands(CLI::App& app) : subcommands_(app) {
  app.require_subcommand(1);
  app.footer(footer());
  add_item_commands(subcommands_);
  add_node_commands(subcommands_);
  add_keys_command(subcommands_);
  add_copy_commands(subcommands_);
  add_check_command(subcommands_);
  add_top_command(subcommands_);
  add_ring_commands(subcommands_);
}

}  // namespace larder::operate
