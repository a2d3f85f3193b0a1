#include "tools/larder/key_stream.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>

#include "tools/larder/shown_text.h"
#include "tools/larder/silence_watch.h"

namespace larder::operate {
namespace {

using client::Error;
using client::ErrorKind;
using client::Result;

// By the hash table, where nothing is missed: a walk along memcached's LRUs ("all") misses what it
// moves between them meanwhile, as it does with what was read. Old servers do not know it, and
// while its table grows memcached refuses it.
constexpr std::string_view kByHash = "lru_crawler metadump hash";
constexpr std::string_view kByLru = "lru_crawler metadump all";

constexpr std::string_view kBusy = "BUSY currently processing crawler request";
constexpr std::string_view kUnknown = "BADCLASS invalid class id";
constexpr std::string_view kEmpty = "NOTSTARTED no items to crawl";
constexpr std::string_view kStarted = "OK";
constexpr auto kPauseWhileBusy = std::chrono::milliseconds(50);
// For a dump as a whole, beside which SilenceWatch has the deadline that counts.
constexpr auto kLongestDump = std::chrono::hours(24 * 30);

enum class Ended { AllTold, NotWanted, Busy, Refused };

constexpr size_t kShownBytes = 80;

// Lines between keys that are none.
struct Unreadable {
  size_t lines = 0;
  std::string first;

  void add(std::string_view line) {
    if (lines++ == 0) first = line.substr(0, kShownBytes);
  }
  Error error(const std::string& node) const {
    return {ErrorKind::Protocol, node + " told " + std::to_string(lines) +
                                     (lines == 1 ? " line" : " lines") +
                                     " that cannot be read as a key: '" + shown(first) + "'"};
  }
};

Result<Ended> stream_once(const Fleet& fleet, size_t node, std::string_view command,
                          const std::function<bool(const DumpedKey&)>& on_key) {
  auto connection = fleet.open(node);
  if (!connection) return connection.error();
  static constexpr std::string_view kEnds[] = {"END", kBusy, kUnknown, kEmpty};
  SilenceWatch watch((*connection)->fd(), fleet.settings().timeout);
  Ended ended = Ended::AllTold;
  Unreadable unreadable;
  const auto on_line = [&](std::string_view line) {
    watch.pause();
    const std::optional<DumpedKey> key = parse_metadump(line);
    if (line == kBusy) ended = Ended::Busy;
    if (line == kUnknown) ended = Ended::Refused;
    const bool is_end = std::find(std::begin(kEnds), std::end(kEnds), line) != std::end(kEnds);
    if (!key && !is_end && line != kStarted) unreadable.add(line);
    if (key && !on_key(*key)) ended = Ended::NotWanted;
    if (ended == Ended::NotWanted) return false;
    watch.resume();
    return true;
  };
  const Result<void> asked =
      (*connection)
          ->ask_lines(command, kEnds, std::chrono::steady_clock::now() + kLongestDump, on_line);
  if (ended == Ended::AllTold && asked.ok() && unreadable.lines > 0) {
    return unreadable.error(fleet.name_of(node));
  }
  if (ended != Ended::AllTold || asked.ok()) return ended;
  if (command == kByHash && asked.error().kind == ErrorKind::Refused) return Ended::Refused;
  if (watch.has_given_up()) {
    return Error{ErrorKind::Timeout, fleet.name_of(node) + " has stopped to tell its keys"};
  }
  return asked.error();
}

}  // namespace

Result<void> stream_keys(const Fleet& fleet, size_t node,
                         const std::function<bool(const DumpedKey&)>& on_key) {
  std::string_view command = kByHash;
  for (const client::Deadline deadline = fleet.deadline();;) {
    const Result<Ended> ended = stream_once(fleet, node, command, on_key);
    if (!ended) return ended.error();
    if (*ended == Ended::Refused && command == kByHash) {
      command = kByLru;
      continue;
    }
    if (*ended != Ended::Busy) return {};
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{ErrorKind::Timeout, fleet.name_of(node) + " is busy with another dump"};
    }
    std::this_thread::sleep_for(kPauseWhileBusy);
  }
}

}  // namespace larder::operate
