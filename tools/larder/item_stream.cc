#include "tools/larder/item_stream.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "tools/larder/exit_status.h"
#include "tools/larder/key_stream.h"
#include "tools/larder/key_text.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Error;
using client::ErrorKind;
using client::Operation;
using client::Outcome;
using client::Result;
using client::Verb;

// Items in a row whose reply ends the connection: that server is no cache, and each item costs a
// connection or two.
constexpr int kMostBrokenReplies = 10;

class ItemReader {
 public:
  ItemReader(Fleet& fleet, size_t node, LeftOut& left_out, const std::function<bool()>& go_on,
             const std::function<bool(DumpItem&&)>& on_item)
      : fleet_(fleet), node_(node), left_out_(left_out), go_on_(go_on), on_item_(on_item) {}

  // Adds a key. False: no more are wanted.
  bool add(const DumpedKey& key) {
    bytes_ += key.size;
    keys_.push_back(key);
    return (keys_.size() < kBatchItems && bytes_ < kBatchBytes) || read_all();
  }

  // Reads the keys that were added. False: likewise.
  bool read_all();

  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  Fleet& fleet_;
  const size_t node_;
  LeftOut& left_out_;
  const std::function<bool()>& go_on_;
  const std::function<bool(DumpItem&&)>& on_item_;
  std::vector<DumpedKey> keys_;  // not read yet
  uint64_t bytes_ = 0;           // of them
  int broken_replies_ = 0;
  bool wanted_ = true;
  std::optional<Error> error_;

  bool read_once(bool alone);
  void give_back_wins(const std::vector<Answer>& answers);
  void take(DumpedKey& key, Answer& answer);
  bool is_of_item(const Error& error) const;
};

bool ItemReader::read_all() {
  bytes_ = 0;
  bool alone = false;
  // A server that hangs up behind each value costs as many rounds as there are keys.
  while (!keys_.empty() && wanted_ && !error_ && (wanted_ = go_on_())) {
    const size_t before = keys_.size();
    if (!read_once(alone)) break;
    alone = keys_.size() == before;
  }
  return wanted_ && !error_;
}

// Whether the connection goes on, and the error is of the one item.
bool ItemReader::is_of_item(const Error& error) const {
  return error.kind == ErrorKind::BadRequest || error.kind == ErrorKind::TooLarge ||
         (error.kind == ErrorKind::Refused && fleet_.is_connected(node_));
}

// Reads as many as it can, and leaves the others in keys_.
//
// alone  reads the first only: a connection that ended before any answer, or behind an answer that
//        it took back, does not show whose reply ended it
bool ItemReader::read_once(bool alone) {
  std::vector<Operation> gets(alone ? 1 : keys_.size());
  for (size_t i = 0; i < gets.size(); ++i) gets[i].key = keys_[i].key;
  std::vector<Answer> answers = fleet_.run_on(node_, gets);
  give_back_wins(answers);
  size_t done = 0;
  std::optional<Error> ended;  // the connection
  for (; done < gets.size() && wanted_ && !ended; ++done) {
    Answer& answer = answers[done];
    if (!answer.error) {
      broken_replies_ = 0;
      take(keys_[done], answer);
    } else if (is_of_item(*answer.error)) {
      left_out_.add_unreadable(keys_[done].key, answer.error->text);
    } else {
      ended = answer.error;
      break;
    }
  }
  const bool broken =
      ended && (ended->kind == ErrorKind::Closed || ended->kind == ErrorKind::Protocol);
  const bool repeat = broken && !alone;
  const bool skip = broken && alone && ++broken_replies_ < kMostBrokenReplies;
  if (skip) left_out_.add_unreadable(keys_[done++].key, ended->text);
  keys_.erase(keys_.begin(), keys_.begin() + static_cast<ptrdiff_t>(done));
  if (!ended || repeat || skip) return true;
  error_ = std::move(ended);
  return false;
}

// An item that is stale and that nobody had won was won by our read: we invalidate that version
// again, so that the next reader wins. Where it was stored anew since, nothing happens.
void ItemReader::give_back_wins(const std::vector<Answer>& answers) {
  std::vector<Operation> returns;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].error || !answers[i].won) continue;
    Operation& invalidate = returns.emplace_back();
    invalidate.verb = Verb::Delete;
    invalidate.invalidate = true;
    // The expiry that the list of keys told may have changed since, by a touch.
    invalidate.keep_expiry = true;
    invalidate.key = keys_[i].key;
    invalidate.cas = answers[i].cas;
  }
  if (returns.empty()) return;
  wanted_ = go_on_();  // each of the two may take a timeout
  // Where the connection has ended since, a new one is made.
  fleet_.run_on(node_, returns);
}

void ItemReader::take(DumpedKey& key, Answer& answer) {
  if (answer.outcome != Outcome::Done) return;
  if (answer.stale) {
    ++left_out_.stale;
  } else if (answer.won || answer.others) {
    ++left_out_.being_computed;
  } else {
    wanted_ = on_item_({std::move(key.key), std::move(answer.value), answer.client_flags,
                        std::max<int64_t>(key.expires, 0)});
  }
}

std::string counted(uint64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? " item" : " items");
}

}  // namespace

void LeftOut::add_unreadable(std::string_view key, const std::string& reason) {
  if (unreadable++ < kMostSentences) {
    sentences.push_back("'" + encoded_key(key) + "' cannot be read: " + reason);
  }
}

std::string LeftOut::text() const {
  std::string text;
  if (stale > 0) text += counted(stale, "stale");
  if (being_computed > 0) {
    text += (text.empty() ? "" : " and ") + counted(being_computed, "unfinished");
  }
  if (text.empty()) return text;
  return text + (stale + being_computed == 1 ? " was left out" : " were left out");
}

void LeftOut::add_to(Json& json) const {
  json["stale"] = stale;
  json["being_computed"] = being_computed;
  json["unreadable"] = unreadable;
}

int LeftOut::complain_of_unreadable() const {
  if (unreadable == 0) return kFine;
  for (const std::string& sentence : sentences) complain(sentence);
  if (unreadable > sentences.size()) {
    complain(counted(unreadable - sentences.size(), "more") + " could not be read");
  }
  return kRefused;
}

Result<void> stream_items(Fleet& fleet, size_t node, const KeyFilter& filter, LeftOut& left_out,
                          const std::function<bool()>& go_on,
                          const std::function<bool(DumpItem&&)>& on_item) {
  ItemReader reader(fleet, node, left_out, go_on, on_item);
  bool wanted = true;
  const Result<void> told = stream_keys(fleet, node, [&](const DumpedKey& key) {
    if (!go_on()) {
      wanted = false;
    } else if (filter.wants(key, std::time(nullptr))) {
      wanted = reader.add(key);
    }
    return wanted;
  });
  // Keys that came before the node failed are read, too.
  if (wanted) reader.read_all();
  if (reader.error()) return *reader.error();
  return told;
}

}  // namespace larder::operate
