#include "tools/larder/keys_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/key_filter.h"
#include "tools/larder/key_options.h"
#include "tools/larder/key_stream.h"
#include "tools/larder/key_text.h"
#include "tools/larder/report.h"

namespace larder::operate {
namespace {

struct KeysOptions {
  FleetOptions fleet;
  KeyFilter filter;
  std::optional<uint64_t> limit;
  std::string after;
  bool details = false;
};

std::string line_of(const KeysOptions& options, const DumpedKey& key, const std::string& node,
                    int64_t now) {
  const int64_t ttl = key.expires <= 0 ? -1 : std::max<int64_t>(key.expires - now, 0);
  if (options.fleet.json()) {
    Json object = {};
    put_bytes(object, "key", key.key);
    object["node"] = node;
    object["size"] = key.size;
    object["ttl"] = ttl;
    object["idle"] = std::max<int64_t>(now - key.last_used, 0);
    return json_text(object, -1) + "\n";
  }
  std::string line = encoded_key(key.key);
  if (options.details) {
    line += " " + std::to_string(key.size) + " " + std::to_string(ttl) + " " + node;
  }
  return line + "\n";
}

int do_keys(const KeysOptions& options) {
  const KeyFilter filter = options.filter.resolved();
  const std::string after =
      options.filter.encoded ? decoded_key_of("--after", options.after) : options.after;
  const Fleet fleet = options.fleet.fleet();
  uint64_t left = options.limit.value_or(UINT64_MAX);
  bool before_page = !after.empty();
  int status = kFine;
  for (size_t node = 0; node < fleet.size() && left > 0 && output_is_whole(); ++node) {
    const std::string name = fleet.name_of(node);
    const auto on_key = [&](const DumpedKey& key) {
      if (before_page) {
        before_page = key.key != after;
        return true;
      }
      const int64_t now = std::time(nullptr);
      if (!filter.wants(key, now)) return true;
      print_bytes(line_of(options, key, name, now));
      return --left > 0 && output_is_whole();
    };
    if (const auto told = stream_keys(fleet, node, on_key); !told) {
      complain(told.error().text);
      status = std::max(status, status_of(told.error()));
    }
  }
  if (before_page && status == kFine) {
    complain("'" + options.after + "' is not there any more, so that nothing is after it" +
             (options.after.find('%') == std::string::npos || options.filter.encoded
                  ? ""
                  : "; a key as keys prints it needs --encoded"));
    return kNotThere;
  }
  return status;
}

}  // namespace

void add_keys_command(Subcommands& subcommands) {
  const auto options = std::make_shared<KeysOptions>();
  CLI::App& command = subcommands.add(
      "keys",
      "the keys that nodes hold, a line each; blanks, quotes, control characters and % in them are "
      "%-codes, which the other subcommands read with --encoded. "
      "The order is that of --servers, and in a node that of its hash table, which stays while the "
      "table does not grow (in an old memcached that of its LRUs, which changes with each read)",
      [options] { return do_keys(*options); });
  options->filter.add_to(command);
  command.add_option("--limit", options->limit, "no more than so many")
      ->check(CLI::Range(uint64_t{1}, UINT64_MAX))
      ->type_name("N");
  command
      .add_option(
          "--after", options->after,
          "only those behind this one, for the next page; where the order has changed "
          "since the last, keys may be missing or come again; with --encoded as keys printed it")
      ->type_name("KEY");
  command.add_flag("--long", options->details,
                   "with size in bytes, seconds to live (-1: without an end) and node");
  options->fleet.add_to(command);
}

}  // namespace larder::operate
