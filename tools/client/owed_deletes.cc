#include "tools/client/owed_deletes.h"

#include <algorithm>
#include <new>
#include <utility>

namespace larder::client {

void OwedDeletes::add(std::string_view key) noexcept {
  if (everything_) return;
  try {
    if (!keys_.emplace(key).second) return;
  } catch (const std::bad_alloc&) {
    return add_everything();
  }
  bytes_ += key.size();
  if (keys_.size() > bounds_.keys || bytes_ > bounds_.bytes) add_everything();
}

void OwedDeletes::add_everything() noexcept {
  everything_ = true;
  keys_ = {};
  bytes_ = 0;
}

void OwedDeletes::add_all_of(OwedDeletes& other) noexcept {
  if (other.everything_) add_everything();
  for (const std::string& key : other.keys_) add(key);
  other.keys_ = {};
  other.bytes_ = 0;
  other.everything_ = false;
}

OwedDeletes::Part OwedDeletes::take(size_t most) {
  Part part;
  part.keys.reserve(std::min(most, keys_.size()));
  part.everything = std::exchange(everything_, false);
  while (part.keys.size() < most && !keys_.empty()) {
    auto node = keys_.extract(keys_.begin());
    bytes_ -= node.value().size();
    part.keys.push_back(std::move(node.value()));
  }
  return part;
}

void OwedDeletes::put_back(const Part& part) noexcept {
  if (part.everything) add_everything();
  for (const std::string& key : part.keys) add(key);
}

}  // namespace larder::client
