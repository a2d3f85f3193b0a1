#include "tools/larder/copy_commands.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "tools/larder/dump_format.h"
#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/item_store.h"
#include "tools/larder/item_stream.h"
#include "tools/larder/key_filter.h"
#include "tools/larder/progress.h"
#include "tools/larder/report.h"

namespace larder::operate {
namespace {

using client::Error;
using client::Result;
using client::Verb;

struct CopyOptions {
  FleetOptions fleet;
  KeyFilter filter;
  std::string file = "-";
  std::string from;
  std::string to;
  bool add = false;

  Verb verb() const { return add ? Verb::Add : Verb::Set; }
};

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File open_file(const std::string& path, const char* mode, std::FILE* standard) {
  if (path == "-") return File(standard);
  File file(std::fopen(path.c_str(), mode));
  if (!file) {
    throw CLI::ValidationError("FILE", "'" + path + "' cannot be opened: " + std::strerror(errno));
  }
  return file;
}

int fail_with(const Error& error) {
  complain(error.text);
  return status_of(error.kind);
}

int print_counts(const CopyOptions& options, const StoreCounts& counts, uint64_t stayed) {
  if (options.fleet.json()) {
    Json json = counts.json();
    json["stayed"] = stayed;
    print_json(json);
  } else {
    print(counts.text() + (stayed > 0 ? ", " + std::to_string(stayed) + " stayed" : "") + "\n");
  }
  if (counts.refused == 0) return kFine;
  complain("the first that was refused: " + counts.first_refusal);
  return kRefused;
}

int do_dump(const CopyOptions& options) {
  Fleet fleet = options.fleet.fleet();
  File file = open_file(options.file, "wb", stdout);
  const auto fault = [&] {
    complain("'" + options.file + "' cannot be written: " + std::strerror(errno));
    return kBadInput;
  };
  DumpWriter writer(file.get());
  Progress progress;
  for (size_t node = 0; node < fleet.size(); ++node) {
    const Result<void> read =
        stream_items(fleet, node, options.filter, [&](DumpItem&& item) -> Result<void> {
          writer.write(item);
          progress.count(item.key.size() + item.value.size());
          if (std::ferror(file.get()) == 0) return {};
          return Error{client::ErrorKind::BadRequest, {}};
        });
    if (std::ferror(file.get()) != 0) return fault();
    if (!read) {
      progress.clear();
      return fail_with(read.error());
    }
  }
  writer.end();
  if (std::fflush(file.get()) != 0) return fault();
  if (options.file == "-") return kFine;
  if (options.fleet.json()) {
    print_json({{"items", writer.items()}});
  } else {
    print(std::to_string(writer.items()) + " items\n");
  }
  return kFine;
}

int do_load(const CopyOptions& options) {
  Fleet fleet = options.fleet.fleet();
  const File file = open_file(options.file, "rb", stdin);
  DumpReader reader(file.get());
  ItemStore store(fleet, options.verb());
  Progress progress;
  Result<void> stored;
  while (stored.ok()) {
    std::optional<DumpItem> item = reader.next();
    if (!item) break;
    progress.count(item->key.size() + item->value.size());
    stored = store.store(std::move(*item));
  }
  if (stored.ok()) stored = store.finish();
  progress.clear();
  int status = print_counts(options, store.counts(), 0);
  if (!stored) status = std::max(status, fail_with(stored.error()));
  if (!reader.error().empty()) {
    complain("'" + options.file + "' " + reader.error());
    status = std::max(status, kBadInput);
  }
  return status;
}

int do_copy(const CopyOptions& options) {
  if (options.from.empty()) throw CLI::ValidationError("--from", "is needed");
  if (options.to.empty()) throw CLI::ValidationError("--to", "is needed");
  Fleet from = options.fleet.fleet_of("--from", options.from);
  Fleet to = options.fleet.fleet_of("--to", options.to);
  ItemStore store(to, options.verb());
  Progress progress;
  uint64_t stayed = 0;
  Result<void> copied;
  for (size_t node = 0; node < from.size() && copied.ok(); ++node) {
    const std::string name = from.name_of(node);
    copied = stream_items(from, node, options.filter, [&](DumpItem&& item) -> Result<void> {
      progress.count(item.key.size() + item.value.size());
      // Where a ring grows, most items are on their node already. To store them there again would
      // put them where the node's list of keys has yet to come by.
      if (to.name_of(to.ring().node_of(item.key)) == name) {
        ++stayed;
        return {};
      }
      return store.store(std::move(item));
    });
  }
  if (copied.ok()) copied = store.finish();
  progress.clear();
  const int status = print_counts(options, store.counts(), stayed);
  return copied.ok() ? status : std::max(status, fail_with(copied.error()));
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
        "them counts as reading them",
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
        "copy", "dump and load without a file; what is on its node already stays as it is",
        [options] { return do_copy(*options); });
    command.add_option("--from", options->from, "servers to read all of, as --servers elsewhere")
        ->type_name("LIST");
    command.add_option("--to", options->to, "servers that the keys are spread over, likewise")
        ->type_name("LIST");
    add_add(command, *options);
    options->filter.add_to(command);
    options->fleet.add_common_to(command);
  }
}

}  // namespace larder::operate
