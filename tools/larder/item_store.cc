#include "tools/larder/item_store.h"

#include <ctime>
#include <utility>

#include "tools/larder/item_stream.h"
#include "tools/larder/lifetime.h"

namespace larder::operate {

using client::Answer;
using client::ErrorKind;
using client::Operation;
using client::Outcome;
using client::Result;

std::string StoreCounts::text() const {
  return std::to_string(stored) + " stored, " + std::to_string(there) + " were there, " +
         std::to_string(expired) + " expired, " + std::to_string(refused) + " refused";
}

Json StoreCounts::json() const {
  return {{"stored", stored}, {"there", there}, {"expired", expired}, {"refused", refused}};
}

Result<void> ItemStore::store(DumpItem&& item) {
  if (item.expires > 0 && item.expires <= std::time(nullptr)) {
    ++counts_.expired;
    return {};
  }
  bytes_ += item.key.size() + item.value.size();
  items_.push_back(std::move(item));
  if (items_.size() < kBatchItems && bytes_ < kBatchBytes) return {};
  return finish();
}

Result<void> ItemStore::finish() {
  std::vector<Operation> operations(items_.size());
  for (size_t i = 0; i < items_.size(); ++i) {
    operations[i].verb = verb_;
    operations[i].key = items_[i].key;
    operations[i].value = items_[i].value;
    operations[i].client_flags = items_[i].client_flags;
    operations[i].exptime = exptime_of_date(items_[i].expires);
  }
  const std::vector<Answer> answers = fleet_.run(operations);
  items_.clear();
  bytes_ = 0;
  Result<void> result;
  for (const Answer& answer : answers) {
    if (answer.outcome == Outcome::Done) {
      ++counts_.stored;
    } else if (answer.outcome != Outcome::Failed) {
      ++counts_.there;
    } else if (answer.error->kind == ErrorKind::Refused ||
               answer.error->kind == ErrorKind::BadRequest) {
      if (counts_.refused++ == 0) counts_.first_refusal = answer.error->text;
    } else if (result.ok()) {
      result = *answer.error;
    }
  }
  return result;
}

}  // namespace larder::operate
