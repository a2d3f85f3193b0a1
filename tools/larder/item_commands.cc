#include "tools/larder/item_commands.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/key_options.h"
#include "tools/larder/lifetime.h"
#include "tools/larder/report.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Operation;
using client::Outcome;
using client::Verb;

struct ItemOptions {
  FleetOptions fleet;
  std::vector<std::string> keys;
  std::string key;
  std::string value = "-";
  uint32_t client_flags = 0;
  int64_t seconds_to_live = 0;
  uint64_t delta = 1;
  std::optional<uint64_t> initial;
  bool raw = false;
  bool encoded = false;

  // The keys that were named. Throws CLI::ValidationError.
  std::vector<std::string> named_keys() const { return encoded ? decoded_keys("KEY", keys) : keys; }
  std::string named_key() const { return encoded ? decoded_key_of("KEY", key) : key; }
};

std::string sentence_for(Verb verb, const std::string& key, const std::string& node,
                         const Answer& answer) {
  switch (answer.outcome) {
    case Outcome::Missing:
      return "'" + key + "' is not on " + node;
    case Outcome::NotStored:
      return "'" + key + (verb == Verb::Add ? "' is already on " : "' is not on ") + node;
    case Outcome::Exists:
      return "'" + key + "' has changed on " + node;
    case Outcome::Failed:
      return answer.error->text;
    case Outcome::Done:
      break;
  }
  return {};
}

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::Done:
      return "done";
    case Outcome::Missing:
      return "missing";
    case Outcome::NotStored:
      return "not_stored";
    case Outcome::Exists:
      return "exists";
    case Outcome::Failed:
      return "failed";
  }
  return {};
}

Json json_of(const Operation& operation, const std::string& node, const Answer& answer) {
  Json object = {};
  put_bytes(object, "key", std::string(operation.key));
  object["node"] = node;
  object["outcome"] = name_of(answer.outcome);
  if (answer.error) object["error"] = operate::json_of(*answer.error);
  if (answer.outcome != Outcome::Done) return object;
  if (operation.verb == Verb::Get) {
    put_bytes(object, "value", answer.value);
    object["flags"] = answer.client_flags;
    if (answer.cas != 0) object["cas"] = answer.cas;
    object["stale"] = answer.stale;
  }
  if (operation.verb == Verb::Increment || operation.verb == Verb::Decrement) {
    object["number"] = answer.number;
  }
  return object;
}

int status_of_answer(const Answer& answer) {
  if (answer.outcome == Outcome::Done) return kFine;
  return answer.outcome == Outcome::Failed ? status_of(*answer.error) : kNotThere;
}

// memcached's mg gives the first reader of a stale item the win: to compute the value is on him,
// and others wait. We do not compute: that version is invalidated again, so that the next reader
// wins. Where it was stored anew since, nothing happens. The item has a new version then, which the
// answer no longer shows.
void give_back_wins(Fleet& fleet, const std::vector<Operation>& operations,
                    std::vector<Answer>& answers) {
  std::vector<Operation> returns;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].error || !answers[i].won) continue;
    Operation& invalidate = returns.emplace_back();
    invalidate.verb = Verb::Delete;
    invalidate.invalidate = true;
    invalidate.keep_expiry = true;
    invalidate.key = operations[i].key;
    invalidate.cas = std::exchange(answers[i].cas, 0);
  }
  if (!returns.empty()) fleet.run(returns);
}

// Asks, prints, and says how it went.
int do_all(const ItemOptions& options, const std::vector<Operation>& operations) {
  Fleet fleet = options.fleet.fleet();
  std::vector<Answer> answers = fleet.run(operations);
  give_back_wins(fleet, operations, answers);
  int status = kFine;
  Json all = Json::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    const Operation& operation = operations[i];
    const Answer& answer = answers[i];
    const std::string node = fleet.name_of(fleet.ring().node_of(operation.key));
    status = std::max(status, status_of_answer(answer));
    if (options.fleet.json()) all.push_back(json_of(operation, node, answer));
    if (answer.outcome != Outcome::Done) {
      // A dead node is named once, not for each of its keys.
      const std::string sentence =
          sentence_for(operation.verb, std::string(operation.key), node, answer);
      if (i == 0 || !answer.error || !answers[i - 1].error ||
          answers[i - 1].error->text != sentence) {
        complain(sentence);
      }
      continue;
    }
    if (options.fleet.json()) continue;
    if (operation.verb == Verb::Get && options.raw) print_bytes(answer.value);
    if (operation.verb == Verb::Get && !options.raw) print(answer.value + "\n");
    if (operation.verb == Verb::Increment || operation.verb == Verb::Decrement) {
      print(std::to_string(answer.number) + "\n");
    }
  }
  if (options.fleet.json()) print_json(all);
  return status;
}

// `operation` for each key.
int do_keys(const ItemOptions& options, Operation operation) {
  const std::vector<std::string> keys = options.named_keys();
  std::vector<Operation> operations;
  for (const std::string& key : keys) {
    operation.key = key;
    operations.push_back(operation);
  }
  return do_all(options, operations);
}

// Standard input to its end. Throws for what no server takes.
std::string read_value() {
  constexpr size_t kMostBytes = size_t{1} << 30;  // memcached's largest item_size_max
  std::string value;
  char piece[65536];
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw CLI::ValidationError(
          "VALUE", std::string("standard input cannot be read: ") + std::strerror(errno));
    }
    if (got == 0) return value;
    value.append(piece, static_cast<size_t>(got));
    if (value.size() > kMostBytes) {
      throw CLI::ValidationError("VALUE", "standard input has more than a GiB");
    }
  }
}

int do_store(const ItemOptions& options, Verb verb) {
  const std::string key = options.named_key();
  const std::string value = options.value == "-" ? read_value() : options.value;
  Operation operation;
  operation.verb = verb;
  operation.key = key;
  operation.value = value;
  operation.client_flags = options.client_flags;
  operation.exptime = exptime_of(options.seconds_to_live, std::time(nullptr));
  return do_all(options, {operation});
}

int do_count(const ItemOptions& options, Verb verb) {
  const std::string key = options.named_key();
  Operation operation;
  operation.verb = verb;
  operation.key = key;
  operation.delta = options.delta;
  operation.initial = options.initial;
  operation.exptime = exptime_of(options.seconds_to_live, std::time(nullptr));
  return do_all(options, {operation});
}

int do_touch(const ItemOptions& options) {
  const std::string key = options.named_key();
  Operation operation;
  operation.verb = Verb::Touch;
  operation.key = key;
  operation.exptime = exptime_of(options.seconds_to_live, std::time(nullptr));
  return do_all(options, {operation});
}

int do_gat(const ItemOptions& options) {
  Operation operation;
  operation.touch = true;
  operation.exptime = exptime_of(options.seconds_to_live, std::time(nullptr));
  return do_keys(options, operation);
}

int do_get(const ItemOptions& options) { return do_keys(options, Operation()); }

int do_delete(const ItemOptions& options) {
  Operation operation;
  operation.verb = Verb::Delete;
  return do_keys(options, operation);
}

using Options = std::shared_ptr<ItemOptions>;

void add_fleet(CLI::App& command, const Options& options) {
  options->fleet.add_to(command);
  options->fleet.add_dialect_to(command);
}

void add_key(CLI::App& command, const Options& options) {
  command.add_option("KEY", options->key, "of the item")->required()->type_name("");
  add_encoded_option(command, options->encoded, "KEY is");
}

void add_keys(CLI::App& command, const Options& options) {
  command.add_option("KEY", options->keys, "of the items")->required()->type_name("");
  add_encoded_option(command, options->encoded, "KEY is");
}

constexpr char kTtlHelp[] = "seconds to live, 0 for ever";

CLI::Option* limit_ttl(CLI::Option* option) {
  return option->check(CLI::Range(int64_t{0}, kMostSecondsToLive));
}

void add_ttl_option(CLI::App& command, const Options& options) {
  limit_ttl(command.add_option("--ttl", options->seconds_to_live, std::string(kTtlHelp) + " (0)"))
      ->type_name("SECONDS");
}

void add_raw(CLI::App& command, const Options& options) {
  command.add_flag(
      "--raw", options->raw,
      "print the bytes of a value and nothing behind them; else a line ends there, and control "
      "characters but tabs and line ends are %-codes");
}

void add_store(Subcommands& subcommands, const char* name, const char* help, Verb verb) {
  const auto options = std::make_shared<ItemOptions>();
  CLI::App& command = subcommands.add(name, help, [=] { return do_store(*options, verb); });
  add_key(command, options);
  command.add_option("VALUE", options->value, "standard input where it is - or not there")
      ->type_name("");
  add_ttl_option(command, options);
  command.add_option("--flags", options->client_flags, "that clients keep with an item (0)")
      ->type_name("N");
  add_fleet(command, options);
}

void add_count(Subcommands& subcommands, const char* name, const char* help, Verb verb) {
  const auto options = std::make_shared<ItemOptions>();
  CLI::App& command = subcommands.add(name, help, [=] { return do_count(*options, verb); });
  add_key(command, options);
  command.add_option("N", options->delta, "by how much (1)")->type_name("");
  command
      .add_option("--initial", options->initial,
                  "store this where there is no such item, with --ttl; not --dialect classic")
      ->type_name("N");
  add_ttl_option(command, options);
  add_fleet(command, options);
}

}  // namespace

void add_item_commands(Subcommands& subcommands) {
  {
    const auto options = std::make_shared<ItemOptions>();
    CLI::App& command = subcommands.add("get", "print values, a line end behind each",
                                        [options] { return do_get(*options); });
    add_keys(command, options);
    add_raw(command, options);
    add_fleet(command, options);
  }
  add_store(subcommands, "set", "store a value", Verb::Set);
  add_store(subcommands, "add", "store a value if the key is not there", Verb::Add);
  add_store(subcommands, "replace", "store a value if the key is there", Verb::Replace);
  {
    const auto options = std::make_shared<ItemOptions>();
    CLI::App& command =
        subcommands.add("delete", "delete items", [options] { return do_delete(*options); });
    add_keys(command, options);
    add_fleet(command, options);
  }
  add_count(subcommands, "incr", "count up, and print what it is then", Verb::Increment);
  add_count(subcommands, "decr", "count down, not below 0, and print what it is then",
            Verb::Decrement);
  {
    const auto options = std::make_shared<ItemOptions>();
    CLI::App& command = subcommands.add("touch", "give an item another time to live",
                                        [options] { return do_touch(*options); });
    add_key(command, options);
    limit_ttl(command.add_option("TTL", options->seconds_to_live, kTtlHelp))
        ->required()
        ->type_name("");
    add_fleet(command, options);
  }
  {
    const auto options = std::make_shared<ItemOptions>();
    CLI::App& command = subcommands.add("gat", "get, and give another time to live",
                                        [options] { return do_gat(*options); });
    limit_ttl(command.add_option("TTL", options->seconds_to_live, kTtlHelp))
        ->required()
        ->type_name("");
    add_keys(command, options);
    add_raw(command, options);
    add_fleet(command, options);
  }
}

}  // namespace larder::operate
