#include <string_view>
#include <utility>

#include "daemon/options.h"
#include "tools/manual/programs.h"

namespace larder::manual {
namespace {

// "-p,--port" as it stands in the table.
std::vector<std::string> names_of(std::string_view names) {
  std::vector<std::string> list;
  while (!names.empty()) {
    const size_t comma = names.find(',');
    list.emplace_back(names.substr(0, comma));
    names.remove_prefix(comma == std::string_view::npos ? names.size() : comma + 1);
  }
  return list;
}

// "<num>" as it stands in the table.
std::string argument_of(const char* argument) {
  if (argument == nullptr) return {};
  const std::string_view text = argument;
  return std::string(text.substr(1, text.size() - 2));
}

Section options_section() {
  Section section{"Settings", {}, {}};
  for (const daemon::Option& option : daemon::options()) {
    if (option.help == nullptr) continue;
    section.entries.push_back({names_of(option.names), argument_of(option.argument), option.help});
  }
  return section;
}

Section prints_section() {
  Section section{"Information", {}, {}};
  for (const daemon::PrintOption& option : daemon::print_options()) {
    section.entries.push_back({names_of(option.names), {}, option.help});
  }
  return section;
}

// What the help of an option without effect says in one list is said of each here.
Section sub_options_section() {
  Section section{
      "Extended options",
      {"These are given with -o, several with commas between them. What is said to have "
       "no effect is about parts of memcached that larderd does not have; it is checked "
       "and accepted, since existing setups pass it."},
      {}};
  for (const daemon::SubOption& option : daemon::sub_options()) {
    const std::string help = option.help == nullptr ? "has no effect" : option.help;
    if (help.empty()) continue;
    section.entries.push_back(
        {{option.name}, option.takes == daemon::Takes::Value ? "value" : "", help});
  }
  return section;
}

std::vector<Section> closing_sections() {
  return {
      {"Configuration file",
       {"A file that --config names holds options, one a line, as on the command line. A # begins "
        "a "
        "comment, anywhere in a line; quotes and backslashes work as in a shell. Lines that do not "
        "begin with a dash have no effect, and neither have -d and -h. The command line comes "
        "after "
        "the file: what may be given once only is taken from there, while -l, -v and -o add up.",
        "This is the format of Debian's /etc/memcached.conf, which can be used as it is."},
       {}},
      {"Signals",
       {},
       {{{"SIGTERM"}, {}, "and SIGINT: stop."},
        {{"SIGUSR1"}, {}, "stop gracefully: with -e, the next start with the file has the items."},
        {{"SIGHUP"}, {}, "read the file of -Y and the certificates of -Z again."}}},
      {"Exit status",
       {},
       {{{"0"}, {}, "it was asked to stop."},
        {{"1"}, {}, "and 64: an option or its value cannot work; a sentence says which."},
        {{"67"}, {}, "there is no user of that name (-u)."},
        {{"71"}, {}, "the system refuses something: a port, a limit, a file."}}},
      {"Environment",
       {},
       {{{"NOTIFY_SOCKET"},
         {},
         "and WATCHDOG_USEC, LISTEN_FDS: the service manager's, as systemd "
         "sets them. Sockets that were handed over are served instead of "
         "those of -p, -l, -s and -U."},
        {{"SASL_CONF_PATH"}, {}, "the folder of memcached.conf for -S."}}},
      {"Files",
       {},
       {{{"/etc/larder/larder.conf"}, {}, "the options that the service larder starts with."}}},
      {"See also", {"larder-bench(1), memcached(1), systemd.service(5)"}, {}},
  };
}

}  // namespace

Manual larderd_manual() {
  Manual manual;
  manual.program = "larderd";
  manual.version = LARDER_VERSION;
  manual.summary = "a cache daemon that speaks memcached";
  manual.synopsis = {"[option ...]", "--config=file [option ...]"};
  manual.description = {
      "larderd keeps items in memory for clients of memcached. It speaks memcached's classic text, "
      "meta and binary protocols over TCP, UDP and unix sockets, takes its options and reports its "
      "statistics.",
      "Unless told otherwise it listens on all addresses, to whoever can connect: -l chooses "
      "addresses, -S and -Y ask clients who they are, -Z encrypts."};
  manual.commands = {{"", "", {options_section(), prints_section()}}};
  manual.list_option = {"-o", "--extended"};
  manual.list = sub_options_section();
  manual.closing = closing_sections();
  return manual;
}

}  // namespace larder::manual
