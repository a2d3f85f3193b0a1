// Manual: a program's options in the form that its man page (roff.h) and the completions of shells
// (completion.h) are made from. It is filled from the tables that the program itself reads
// (programs.h), so that nothing is said twice.
#pragma once

#include <string>
#include <vector>

namespace larder::manual {

struct Entry {
  std::vector<std::string> names;  // "-p" and "--port", or a word of a list
  std::string argument;            // what stands for the value: "num"; empty: a flag
  std::string help;                // plain text
};

struct Section {
  std::string title;
  std::vector<std::string> paragraphs;  // plain text, before the entries
  std::vector<Entry> entries;
};

// The program without a subcommand, or one of its subcommands.
struct Command {
  std::string name;  // empty: without one
  std::string help;
  std::vector<Section> sections;
};

struct Manual {
  std::string program;
  std::string version;
  std::string summary;  // half a sentence, for the line under NAME
  std::vector<std::string> synopsis;
  std::vector<std::string> description;
  std::vector<Command> commands;  // the first one has no name
  // Words that an option takes, with commas between them; the section of the man page that is about
  // them. Empty entries: there is no such option.
  std::vector<std::string> list_option;  // its names
  Section list;
  std::vector<Section> closing;  // files, signals, exit status ...
};

}  // namespace larder::manual
