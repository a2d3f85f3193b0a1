#include "tools/larder/watch_line.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "tools/larder/key_text.h"

namespace larder::operate {
namespace {

using Kind = WatchLine::Kind;

// Lines of other streams, which change no item. To our watches larderd sends item_store,
// item_change, deleted and flush_all alone, and memcached item_store and deleted.
constexpr std::string_view kHarmlessTypes[] = {"item_get",   "eviction",   "extwrite",
                                               "conn_new",   "conn_close", "connerr",
                                               "conntlserr", "slab_move",  "lru_crawler"};

// The value of a word "name=value"; null if there is none. No value has a blank.
std::optional<std::string_view> value_of(std::string_view name, std::string_view line) {
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=') {
      return word.substr(name.size() + 1);
    }
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return std::nullopt;
}

// A store that was refused for want of room may have removed the old value.
Kind kind_of_store(std::string_view status, std::string_view command) {
  if (status == "stored") return command == "add" ? Kind::Add : Kind::Change;
  if (status == "too_large" || status == "no_memory") return Kind::Change;
  if (status == "not_stored" || status == "exists" || status == "not_found") return Kind::Other;
  return Kind::Change;  // a word of a later version
}

}  // namespace

WatchLine parse_watch_line(std::string_view line) {
  // larderd and memcached write skipped=N; older ones [skipped: N].
  if (line.starts_with("skipped=") || line.starts_with("[skipped")) return {Kind::Skipped, {}};
  if (!line.starts_with("ts=")) return {};
  const std::optional<std::string_view> type = value_of("type", line);
  if (!type) return {};
  Kind kind = Kind::Other;
  if (*type == "flush_all") return {Kind::Flush, {}};
  if (*type == "item_store") {
    const auto status = value_of("status", line);
    const auto command = value_of("cmd", line);
    if (!status || !command) return {};
    kind = kind_of_store(*status, *command);
  } else if (*type == "deleted" || *type == "item_change") {
    kind = Kind::Change;
  } else if (std::find(std::begin(kHarmlessTypes), std::end(kHarmlessTypes), *type) ==
             std::end(kHarmlessTypes)) {
    return {};
  }
  if (kind == Kind::Other) return {kind, {}};
  const auto word = value_of("key", line);
  if (!word) return {};
  std::optional<std::string> key = decoded_key(*word);
  if (!key || key->empty()) return {};
  return {kind, std::move(*key)};
}

}  // namespace larder::operate
