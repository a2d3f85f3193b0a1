#include "tools/larder/item_store.h"

#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/larder/item_stream.h"
#include "tools/larder/lifetime.h"

namespace larder::operate {

using client::Answer;
using client::Error;
using client::ErrorKind;
using client::Operation;
using client::Outcome;

namespace {

// Batches in a row: a node that is too slow costs as many timeouts, and no more.
constexpr int kMostFailures = 3;

bool is_of_item(const client::Error& error) {
  return error.kind == ErrorKind::Refused || error.kind == ErrorKind::BadRequest;
}

bool is_refused(const Answer& answer) {
  return answer.outcome == Outcome::Failed && answer.error->kind == ErrorKind::Refused;
}

}  // namespace

std::string StoreCounts::text() const {
  return std::to_string(stored) + " stored, " + std::to_string(there) + " were there, " +
         std::to_string(expired) + " expired, " + std::to_string(refused) + " refused" +
         (changed > 0 ? ", " + std::to_string(changed) + " had changed" : "") +
         (unreached > 0 ? ", " + std::to_string(unreached) + " not reached" : "");
}

Json StoreCounts::json() const {
  return {{"stored", stored},
          {"there", there},
          {"expired", expired},
          {"refused", refused},
          {"unreached", unreached}};
}

bool ItemStore::store(DumpItem&& item) {
  if (item.expires > 0 && item.expires <= std::time(nullptr)) {
    ++counts_.expired;
  } else if (is_given_up(fleet_.ring().node_of(item.key))) {
    ++counts_.unreached;
    if (guard_) guard_->undo();
  } else {
    bytes_ += item.key.size() + item.value.size();
    items_.push_back(std::move(item));
    if (items_.size() >= kBatchItems || bytes_ >= kBatchBytes) send();
  }
  return !stopped_ && given_up_ < fleet_.size() && !(guard_ && guard_->are_all_lost());
}

bool ItemStore::is_given_up(size_t node) const {
  return failures_[node] >= kMostFailures || (guard_ && guard_->is_lost(node));
}

void ItemStore::finish() {
  send();
  counts_.unreached += items_.size();
  items_.clear();
}

// Between two rounds, of which a server that refuses one item and closes costs one an item.
bool ItemStore::goes_on() {
  if (guard_) guard_->undo();
  stopped_ = go_on_ && !go_on_();
  return !stopped_;
}

// A server may close a connection on which it has refused an item, or we have to. The items behind
// that one are without an answer then, and the client takes back the classic answers before it.
// They are sent again: to store twice is no harm.
void ItemStore::send() {
  while (!items_.empty()) {
    send_once();
    if (!goes_on()) break;
  }
  bytes_ = 0;
}

void ItemStore::drop_not_permitted() {
  std::vector<std::string_view> keys;
  for (const DumpItem& item : items_) keys.push_back(item.key);
  const std::vector<Permit> permits = guard_->begin(keys);
  std::vector<DumpItem> permitted;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (permits[i] == Permit::Granted) permitted.push_back(std::move(items_[i]));
    counts_.stored += permits[i] == Permit::Stored ? 1 : 0;
    counts_.changed += permits[i] == Permit::Changed ? 1 : 0;
    counts_.unreached += permits[i] == Permit::Lost ? 1 : 0;
  }
  items_ = std::move(permitted);
}

// Leaves in items_ the items to be sent again: fewer than there were.
void ItemStore::send_once() {
  if (!guard_) return send_permitted();
  guard_->undo();  // the source has perhaps taken a timeout, and the adds may take another one
  drop_not_permitted();
  try {
    send_permitted();
  } catch (...) {
    guard_->abandon();
    throw;
  }
}

// It has refused all items: other answers the client takes back where the barrier has none. Without
// an error no later batch would tell, and each costs a timeout.
void ItemStore::fail_late_barrier(size_t node) {
  Error late = {ErrorKind::Timeout, fleet_.name_of(node) + " is too slow to answer `version`"};
  if (guard_) return guard_->give_up(node, std::move(late));
  errors_.insert_or_assign(node, std::move(late));
}

void ItemStore::send_permitted() {
  std::vector<Operation> operations(items_.size());
  std::vector<Fill> fills(items_.size(), Fill::NotStored);
  std::vector<std::string_view> keys;
  for (size_t i = 0; i < items_.size(); ++i) {
    operations[i].verb = verb_;
    operations[i].key = items_[i].key;
    operations[i].value = items_[i].value;
    operations[i].client_flags = items_[i].client_flags;
    operations[i].exptime = exptime_of_date(items_[i].expires);
    keys.push_back(items_[i].key);
  }
  const std::vector<Answer> answers = fleet_.run(operations);
  std::vector<bool> refused(fleet_.size());
  std::vector<bool> answered(fleet_.size());
  std::vector<bool> failed(fleet_.size());
  std::vector<bool> late(fleet_.size());
  std::vector<size_t> again;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (is_refused(answers[i])) refused[fleet_.ring().node_of(items_[i].key)] = true;
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    const Answer& answer = answers[i];
    const size_t node = fleet_.ring().node_of(items_[i].key);
    if (answer.outcome == Outcome::Done) {
      fills[i] = Fill::Stored;
      ++counts_.stored;
    } else if (answer.outcome != Outcome::Failed) {
      if (fleet_.is_unproven(node)) fills[i] = Fill::Unproven;
      ++counts_.there;
    } else if (is_of_item(*answer.error)) {
      fills[i] = answer.in_doubt            ? Fill::InDoubt
                 : fleet_.is_unproven(node) ? Fill::Unproven
                                            : Fill::Refused;
      if (counts_.refused++ == 0) counts_.first_refusal = answer.error->text;
    } else if (answer.error->kind == ErrorKind::Closed && refused[node]) {
      fills[i] = Fill::SentAgain;
      again.push_back(i);
      continue;
    } else {
      if (answer.in_doubt) fills[i] = Fill::InDoubt;
      failed[node] = true;
      if (answer.error->kind == ErrorKind::Timeout) late[node] = true;
      ++counts_.unreached;
      errors_.insert_or_assign(node, *answer.error);
      continue;
    }
    answered[node] = true;
  }
  for (size_t node = 0; node < failed.size(); ++node) {
    if (fleet_.is_barrier_late(node) && !failed[node]) {
      fail_late_barrier(node);
      failed[node] = late[node] = true;
    }
    if (answered[node] && !late[node]) failures_[node] = 0;
    if (failed[node] && ++failures_[node] == kMostFailures) ++given_up_;
  }
  if (guard_) guard_->end(keys, fills);
  std::vector<DumpItem> left;
  for (const size_t i : again) left.push_back(std::move(items_[i]));
  items_ = std::move(left);
}

}  // namespace larder::operate
