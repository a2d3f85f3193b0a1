#include "tools/client/client_watch.h"

namespace larder::client {

void ClientWatch::node_failed(const std::string& node, const Error& why) noexcept {
  ++node_failures_;
  if (next_) next_->node_failed(node, why);
  const std::lock_guard lock(mutex_);
  if (poller_ != nullptr) poller_->wake();
}

void ClientWatch::node_ejected(const std::string& node, const Error& why) noexcept {
  ++ejections_;
  if (next_) next_->node_ejected(node, why);
}

void ClientWatch::node_returned(const std::string& node) noexcept {
  ++returns_;
  if (next_) next_->node_returned(node);
}

void ClientWatch::list_followed(uint64_t version, size_t nodes) noexcept {
  ++lists_followed_;
  list_failures_ = 0;
  if (next_) next_->list_followed(version, nodes);
}

void ClientWatch::list_failed(const Error& why) noexcept {
  ++list_failures_;
  if (next_) next_->list_failed(why);
}

void ClientWatch::set_poller(Poller* poller) {
  const std::lock_guard lock(mutex_);
  poller_ = poller;
}

ClientCounters ClientWatch::counters() const noexcept {
  return {.node_failures = node_failures_,
          .ejections = ejections_,
          .returns = returns_,
          .lists_followed = lists_followed_,
          .list_failures = list_failures_};
}

}  // namespace larder::client
