#include "tools/larder/copy_commands.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/larder/dump_format.h"
#include "tools/larder/exit_status.h"
#include "tools/larder/fill_guard.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/interrupts.h"
#include "tools/larder/item_store.h"
#include "tools/larder/item_stream.h"
#include "tools/larder/key_filter.h"
#include "tools/larder/output_file.h"
#include "tools/larder/progress.h"
#include "tools/larder/report.h"

namespace larder::operate {
namespace {

using client::Error;
using client::ErrorKind;
using client::Result;
using client::Verb;

struct CopyOptions {
  FleetOptions fleet;
  KeyFilter filter;
  std::string file = "-";
  std::string from;
  std::string to;
  bool add = false;
  bool overwrite = false;

  Verb verb() const { return add ? Verb::Add : Verb::Set; }
};

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};
using InputFile = std::unique_ptr<std::FILE, CloseFile>;

[[noreturn]] void throw_unopened(const std::string& path, const std::string& reason) {
  throw CLI::ValidationError("FILE", "'" + path + "' cannot be opened: " + reason);
}

InputFile open_input(const std::string& path) {
  if (path == "-") return InputFile(stdin);
  InputFile file(std::fopen(path.c_str(), "rbe"));
  if (!file) throw_unopened(path, std::strerror(errno));
  return file;
}

int fail_with(const Error& error) {
  complain(error.text);
  return status_of(error);
}

// The result of read_nodes().
struct NodesRead {
  LeftOut left_out;
  size_t whole = 0;  // nodes that told all that they have
  std::vector<Error> errors;

  // Complains of items and nodes that were not read; the status.
  int complain_of_all() const {
    int status = left_out.complain_of_unreadable();
    for (const Error& error : errors) status = std::max(status, fail_with(error));
    return status;
  }
};

// Reads every node, those behind one that fails, too.
//
// go_on  is asked before each node and each key; false ends it all
NodesRead read_nodes(Fleet& fleet, const KeyFilter& filter, const std::function<bool()>& go_on,
                     const std::function<bool(size_t node, DumpItem&& item)>& on_item) {
  NodesRead nodes;
  bool wanted = true;
  for (size_t node = 0; node < fleet.size() && wanted && go_on(); ++node) {
    const Result<void> read =
        stream_items(fleet, node, filter, nodes.left_out, go_on, [&](DumpItem&& item) {
          wanted = on_item(node, std::move(item));
          return wanted;
        });
    if (read) {
      ++nodes.whole;
    } else {
      nodes.errors.push_back(read.error());
    }
  }
  return nodes;
}

// add_more  to the counts of the store, with --json
int print_counts(const CopyOptions& options, const ItemStore& store,
                 const std::function<void(Json& json)>& add_more, const std::string& text) {
  const StoreCounts& counts = store.counts();
  if (options.fleet.json()) {
    Json json = counts.json();
    add_more(json);
    print_json(json);
  } else {
    print(counts.text() + text + "\n");
  }
  int status = kFine;
  for (const auto& [node, error] : store.errors()) status = std::max(status, fail_with(error));
  if (counts.refused == 0) return status;
  complain("the first that was refused: " + counts.first_refusal);
  return std::max(status, kRefused);
}

void print_dumped(const CopyOptions& options, const OutputFile& file, uint64_t items,
                  const LeftOut& left_out) {
  const std::string text = left_out.text();
  if (file.is_standard_output()) {
    if (!text.empty()) complain(text);
  } else if (options.fleet.json()) {
    Json json = {{"items", items}};
    left_out.add_to(json);
    print_json(json);
  } else {
    print(std::to_string(items) + " items" + (text.empty() ? "" : "; " + text) + "\n");
  }
}

int do_dump(const CopyOptions& options) {
  const KeyFilter filter = options.filter.resolved();
  Fleet fleet = options.fleet.fleet();
  OutputFile file(options.file);
  if (!file.stream()) throw_unopened(options.file, file.error());
  DumpWriter writer(file.stream());
  Progress progress;
  const auto goes_on = [&] { return !file.failed(); };
  const NodesRead nodes = read_nodes(fleet, filter, goes_on, [&](size_t, DumpItem&& item) {
    writer.write(item);
    progress.count(item.key.size() + item.value.size());
    return goes_on();
  });
  // Without its last line load says that the dump is cut short.
  if (nodes.errors.empty()) writer.end();
  progress.clear();
  const int status = nodes.complain_of_all();
  // Of a fleet some of whose nodes are dead the others' items are worth having; of no node's whole
  // items the file of before is.
  if (nodes.whole == 0 && !file.is_standard_output()) return status;
  if (!file.commit()) {
    complain("'" + options.file + "' cannot be written: " + file.error());
    return std::max(status, kOutputLost);
  }
  print_dumped(options, file, writer.items(), nodes.left_out);
  return status;
}

// It has an end: what is left of it can be counted.
bool is_regular(std::FILE* file) {
  struct stat status = {};
  return fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
}

int do_load(const CopyOptions& options) {
  Fleet fleet = options.fleet.fleet();
  const InputFile file = open_input(options.file);
  DumpReader reader(file.get());
  ItemStore store(fleet, options.verb());
  Progress progress;
  const bool is_counted = is_regular(file.get());
  bool is_whole = true;
  while (is_whole) {
    std::optional<DumpItem> item = reader.next();
    if (!item) break;
    progress.count(item->key.size() + item->value.size());
    is_whole = store.store(std::move(*item)) || is_counted;
  }
  store.finish();
  progress.clear();
  int status = print_counts(
      options, store, [](Json& json) { json["stayed"] = 0; }, "");
  if (!is_whole) {
    complain("the rest of '" + options.file +
             "' was not read, and is not in the counts: no node is left to store it on");
  }
  if (!reader.error().empty()) {
    complain("'" + options.file + "' " + reader.error());
    status = std::max(status, kBadInput);
  }
  return status;
}

int copy_items(const CopyOptions& options, const KeyFilter& filter, Fleet& from, Fleet& to,
               std::optional<FillGuard>& guard, const Interrupts& interrupts) {
  const auto goes_on = [&] { return !interrupts.came(); };
  if (guard) guard->open(goes_on);
  ItemStore store(to, guard ? Verb::Add : Verb::Set, guard ? &*guard : nullptr, goes_on);
  Progress progress;
  uint64_t stayed = 0;
  NodesRead nodes;
  const auto reads_on = [&] {
    if (guard) guard->undo();  // a target that was lost is not to wait for the source
    return goes_on() && !(guard && guard->are_all_lost());
  };
  if (reads_on()) {
    nodes = read_nodes(from, filter, reads_on, [&](size_t node, DumpItem&& item) {
      progress.count(item.key.size() + item.value.size());
      // Where a ring grows, most items are on their node already. To store them there again would
      // put them where the node's list of keys has yet to come by.
      if (to.name_of(to.ring().node_of(item.key)) == from.name_of(node)) {
        ++stayed;
        return true;
      }
      return store.store(std::move(item));
    });
  }
  store.finish();
  if (guard) guard->finish();
  progress.clear();
  const FillCounts filled = guard ? guard->counts() : FillCounts();
  const uint64_t deleted = filled.withdrawn + filled.undone;
  std::string text = stayed > 0 ? ", " + std::to_string(stayed) + " stayed" : "";
  if (deleted > 0) text += ", " + std::to_string(deleted) + " deleted again";
  const std::string left_out = nodes.left_out.text();
  const auto add_more = [&](Json& json) {
    json["stayed"] = stayed;
    json["changed"] = store.counts().changed;
    json["deleted_again"] = deleted;
    nodes.left_out.add_to(json);
  };
  int status =
      print_counts(options, store, add_more, text + (left_out.empty() ? "" : "; " + left_out));
  if (guard) {
    for (const auto& [node, error] : guard->errors()) status = std::max(status, fail_with(error));
  } else if (interrupts.came()) {
    status = std::max(status, fail_with({ErrorKind::Closed, kInterrupted}));
  }
  return std::max(status, nodes.complain_of_all());
}

// Where memory stays out, one sentence that needs none stands for those that name targets.
void undo_failed_copy(FillGuard& guard) noexcept {
  guard.lose_all("copy has failed");
  try {
    guard.undo_all();
    for (const auto& [node, error] : guard.errors()) complain(error.text);
  } catch (const std::exception&) {
    std::fputs(
        "larder: what copy stored on the servers of --to is perhaps still there, and may be old: "
        "flush it\n",
        stderr);
  }
}

int do_copy(const CopyOptions& options) {
  if (options.from.empty()) throw CLI::ValidationError("--from", "is needed");
  if (options.to.empty()) throw CLI::ValidationError("--to", "is needed");
  const KeyFilter filter = options.filter.resolved();
  Fleet from = options.fleet.fleet_of("--from", options.from);
  Fleet to = options.fleet.fleet_of("--to", options.to);
  const Interrupts interrupts;
  std::optional<FillGuard> guard;
  if (!options.overwrite) guard.emplace(to);
  try {
    const int status = copy_items(options, filter, from, to, guard, interrupts);
    std::fflush(stdout);  // the next signal ends larder: the counts are not to go with it
    return status;
  } catch (...) {
    if (guard) undo_failed_copy(*guard);
    throw;
  }
}

void add_add(CLI::App& command, CopyOptions& options) {
  command.add_flag("--add", options.add, "leave alone what is there already");
}

}  // namespace

void add_copy_commands(Subcommands& subcommands) {
  {
    const auto options = std::make_shared<CopyOptions>();
    CLI::App& command = subcommands.add(
        "dump",
        "write all items of the nodes, with values, flags and expiry, to a file for load; to get "
        "them counts as reading them. The file replaces the one before, with mode 0600, once it is "
        "whole; where no node can be read to its end, that "
        "one stays",
        [options] { return do_dump(*options); });
    command.add_option("FILE", options->file, "standard output where it is - or not there")
        ->type_name("");
    options->filter.add_to(command);
    options->fleet.add_to(command);
  }
  {
    const auto options = std::make_shared<CopyOptions>();
    CLI::App& command = subcommands.add(
        "load", "store what dump wrote, each item on the node of its key, with its expiry",
        [options] { return do_load(*options); });
    command.add_option("FILE", options->file, "standard input where it is - or not there")
        ->type_name("");
    add_add(command, *options);
    options->fleet.add_to(command);
  }
  {
    const auto options = std::make_shared<CopyOptions>();
    CLI::App& command = subcommands.add(
        "copy",
        "add the items of servers to others, without a file; what is there already, and what "
        "changes there meanwhile, stays as it is. copy watches the servers that it stores on, "
        "and deletes what it has added when the key changes; where the watch ends, it deletes "
        "all that it has added there. Neither copy nor dump takes items that are stale, or "
        "that a client is about to compute",
        [options] { return do_copy(*options); });
    command.add_option("--from", options->from, "servers to read all of, as --servers elsewhere")
        ->type_name("LIST");
    command.add_option("--to", options->to, "servers that the keys are spread over, likewise")
        ->type_name("LIST");
    CLI::Option* const add =
        command.add_flag("--add", options->add, "what copy does anyway, without --overwrite");
    command
        .add_flag("--overwrite", options->overwrite,
                  "store over what is there, without a watch: old values replace newer ones, and "
                  "deleted items come back. Only for servers that nobody else uses yet")
        ->excludes(add);
    options->filter.add_to(command);
    options->fleet.add_common_to(command);
  }
}

}  // namespace larder::operate
