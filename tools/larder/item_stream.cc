#include "tools/larder/item_stream.h"

#include <ctime>
#include <optional>
#include <utility>
#include <vector>

#include "tools/larder/key_stream.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Error;
using client::Operation;
using client::Outcome;
using client::Result;
using OnItem = std::function<Result<void>(DumpItem&&)>;

// Gets the values of `keys`, hands the items on, and leaves `keys` empty.
Result<void> hand_on(Fleet& fleet, size_t node, std::vector<DumpedKey>& keys,
                     const OnItem& on_item) {
  std::vector<Operation> gets(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) gets[i].key = keys[i].key;
  std::vector<Answer> answers = fleet.run_on(node, gets);
  for (size_t i = 0; i < keys.size(); ++i) {
    Answer& answer = answers[i];
    if (answer.error) return *answer.error;
    if (answer.outcome != Outcome::Done) continue;
    const Result<void> taken =
        on_item({std::move(keys[i].key), std::move(answer.value), answer.client_flags,
                 std::max<int64_t>(keys[i].expires, 0)});
    if (!taken) return taken;
  }
  keys.clear();
  return {};
}

}  // namespace

Result<void> stream_items(Fleet& fleet, size_t node, const KeyFilter& filter,
                          const OnItem& on_item) {
  std::vector<DumpedKey> keys;
  uint64_t bytes = 0;
  std::optional<Error> error;
  const auto flush = [&] {
    bytes = 0;
    const Result<void> done = hand_on(fleet, node, keys, on_item);
    if (!done) error = done.error();
    return done.ok();
  };
  const Result<void> told = stream_keys(fleet, node, [&](const DumpedKey& key) {
    if (!filter.wants(key, std::time(nullptr))) return true;
    bytes += key.size;
    keys.push_back(key);
    return (keys.size() < kBatchItems && bytes < kBatchBytes) || flush();
  });
  if (!told) return told;
  if (!error && !keys.empty()) flush();
  if (error) return *error;
  return {};
}

}  // namespace larder::operate
