#include "tools/larder/ring_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tools/client/ring.h"
#include "tools/larder/exit_status.h"
#include "tools/larder/formats.h"
#include "tools/larder/key_options.h"
#include "tools/larder/report.h"
#include "tools/larder/ring_option.h"
#include "tools/larder/ring_report.h"
#include "tools/larder/servers.h"
#include "tools/larder/where.h"

namespace larder::operate {

using client::Ring;
using client::RingNode;

namespace {

// The options of one of the two, and what it does with them.
struct RingQuestion {
  std::string servers;
  std::string ring = std::string(client::name_of(client::kDefaultRing));
  bool json = false;
  std::vector<std::string> keys;
  bool encoded = false;
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::string format;
  uint32_t counted_keys = 1'000'000;
  bool list = false;

  void add_options(CLI::App& command);
  void add_ring_options(CLI::App& command);
  Ring asked_ring() const;
  std::vector<RingNode> changed_nodes(std::vector<RingNode> nodes) const;
  std::string change() const;
  int do_where() const;
  int do_ring() const;
};

void RingQuestion::add_options(CLI::App& command) {
  command
      .add_option("--servers", servers,
                  "HOST:PORT[:WEIGHT] of all, in their order, with commas between them; @FILE has "
                  "one a line, and comments behind #")
      ->type_name("LIST");
  command
      .add_option("--ring", ring,
                  "how keys find their server (" + ring + "); ring --list shows them all")
      ->type_name("NAME");
  command.add_flag("--json", json, "print JSON");
}

void RingQuestion::add_ring_options(CLI::App& command) {
  add_options(command);
  command.add_option("--add", added, "count what moves if this server joins at the end")
      ->type_name("SERVER")
      ->allow_extra_args(false);
  command.add_option("--remove", removed, "or if this one leaves; both may be repeated")
      ->type_name("SERVER")
      ->allow_extra_args(false);
  command.add_option("--keys", counted_keys, "how many are counted, fewer in less time (1000000)")
      ->check(CLI::Range(1000u, 1'000'000'000u))
      ->type_name("N");
  CLI::Option* const format_option =
      command
          .add_option(
              "--format", format,
              "write the configuration of twemproxy, nginx, haproxy or php (php-memcached) instead")
          ->type_name("SOFTWARE");
  for (const char* const other : {"--json", "--add", "--remove", "--keys"}) {
    format_option->excludes(other);
  }
  command.add_flag("--list", list, "print the rings and who else uses each; no --servers");
}

Ring RingQuestion::asked_ring() const {
  if (servers.empty()) throw CLI::ValidationError("--servers", "is needed");
  return ring_of_list("--servers", ring, servers);
}

int RingQuestion::do_where() const {
  const Ring asked = asked_ring();
  const std::vector<std::string> found = encoded ? decoded_keys("KEY", keys) : keys;
  for (const std::string& key : found) {
    const std::string fault = fault_of_key(key, encoded);
    if (!fault.empty()) throw CLI::ValidationError("KEY", "'" + key + "' " + fault);
  }
  if (json) {
    print_bytes(where_json(asked, found));
  } else {
    print(where_text(asked, found, encoded));
  }
  return 0;
}

// The servers of --servers with those of --add and without those of --remove; where there are
// neither, with one more.
std::vector<RingNode> RingQuestion::changed_nodes(std::vector<RingNode> nodes) const {
  for (const std::string& text : removed) {
    const ServerResult server = parse_server(text);
    if (!server.node) throw CLI::ValidationError("--remove", "'" + text + "' " + server.error);
    const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const RingNode& node) {
      return node.host == server.node->host && node.port == server.node->port;
    });
    if (found == nodes.end()) {
      throw CLI::ValidationError("--remove", "'" + text + "' is none of --servers");
    }
    nodes.erase(found);
  }
  for (const std::string& text : added) {
    ServerResult server = parse_server(text);
    if (!server.node) throw CLI::ValidationError("--add", "'" + text + "' " + server.error);
    nodes.push_back(std::move(*server.node));
  }
  if (removed.empty() && added.empty()) nodes.push_back({"larder-one-more", 11211});
  return nodes;
}

std::string RingQuestion::change() const {
  if (removed.empty() && added.empty()) return "if a node of weight 1 joined";
  std::string text;
  for (const auto& [servers_of, verb] :
       {std::pair{&added, " joined"}, std::pair{&removed, " left"}}) {
    for (const std::string& server : *servers_of) {
      text += (text.empty() ? "if " : " and ") + server + verb;
    }
  }
  return text;
}

int RingQuestion::do_ring() const {
  if (list) {
    if (json) {
      print_bytes(list_json());
    } else {
      print(list_text());
    }
    return 0;
  }
  const Ring asked = asked_ring();
  if (!format.empty()) {
    const FormatResult written = configuration(format, asked);
    if (written.unknown) throw CLI::ValidationError("--format", written.error);
    print(written.text);
    if (!written.error.empty()) {
      complain("--format " + format + ": " + written.error);
    }
    return written.error.empty() ? 0 : kNoSuchRing;
  }
  const Ring after = ring_of(added.empty() && !removed.empty() ? "--remove" : "--add", ring,
                             changed_nodes(asked.nodes()));
  const RingReport report = report_of(asked, after, change(), counted_keys);
  if (json) {
    print_bytes(report_json(report));
  } else {
    print(report_text(report));
  }
  return 0;
}

}  // namespace

void add_ring_commands(Subcommands& subcommands) {
  const auto where = std::make_shared<RingQuestion>();
  CLI::App& where_command =
      subcommands.add("where", "which node keys live on: a line of key and node each",
                      [where] { return where->do_where(); });
  where_command.add_option("KEY", where->keys, "as clients send them")->required()->type_name("");
  add_encoded_option(where_command, where->encoded, "KEY is");
  where->add_options(where_command);

  const auto ring = std::make_shared<RingQuestion>();
  ring->add_ring_options(
      subcommands.add("ring", "how evenly keys are spread, and how many move if servers come or go",
                      [ring] { return ring->do_ring(); }));
}

}  // namespace larder::operate
