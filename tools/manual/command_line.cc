#include "tools/manual/command_line.h"

#include <CLI/CLI.hpp>
#include <utility>

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

}  // namespace

Command command_of(const CLI::App& app, std::string name) {
  Command command{std::move(name), app.get_description(), {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) continue;
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

}  // namespace larder::manual
