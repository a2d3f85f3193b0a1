#include "daemon/discovery.h"

#include <algorithm>
#include <utility>

namespace larder::daemon {

std::shared_ptr<const Discovery::Published> Discovery::published() const {
  core::MutexLock lock(mutex_);
  return published_;
}

bool Discovery::offer(ClusterList& list) {
  core::MutexLock lock(mutex_);
  const bool same = published_ != nullptr && published_->list.nodes == list.nodes;
  if (same && list.version <= version_) return false;
  list.version = std::max(list.version, std::min(version_ + 1, kMaxClusterVersion));
  publish(list, 0);
  return true;
}

bool Discovery::set(ClusterList& list, uint32_t client_flags) {
  core::MutexLock lock(mutex_);
  if (list.version <= version_) {
    const bool again = published_ != nullptr && published_->list.version == list.version &&
                       published_->list.nodes == list.nodes &&
                       published_->client_flags == client_flags;
    list.version = version_;
    return again;
  }
  publish(list, client_flags);
  return true;
}

bool Discovery::remove() {
  core::MutexLock lock(mutex_);
  if (version_ > kMostOrdinaryVersion) version_ = 0;
  return std::exchange(published_, nullptr) != nullptr;
}

void Discovery::publish(const ClusterList& list, uint32_t client_flags) {
  published_ =
      std::make_shared<const Published>(Published{list, client_flags, format_cluster_list(list)});
  version_ = list.version;
}

}  // namespace larder::daemon
