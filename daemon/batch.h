// Batch: gathered commands, reads or stores, on their way from the parser to the replies.
//
// A worker owns one and lends it to the connection that it is serving; empty between connections.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <span>

#include "core/hash.h"
#include "core/units.h"
#include "proto/command.h"
#include "proto/reply.h"

namespace larder::daemon {

class Batch {
 public:
  // Where the next command is to be parsed; it joins the batch with add(). There is always room for
  // one: whoever fills the batch empties it before parsing on.
  proto::Command& next() noexcept { return commands_[count_]; }
  // body   where in the input the value of a store begins
  void add(core::KeyHash hash, size_t body = 0) noexcept {
    assert(count_ < core::kBatchKeys);
    bodies_[count_] = static_cast<uint32_t>(body);
    hashes_[count_++] = hash;
  }
  void clear() noexcept { count_ = 0; }

  bool empty() const noexcept { return count_ == 0; }
  size_t size() const noexcept { return count_; }
  bool full() const noexcept { return count_ == core::kBatchKeys; }

  // All of size() elements; [i] of each belongs to one command.
  std::span<const proto::Command> commands() const noexcept { return {commands_.data(), count_}; }
  std::span<const core::KeyHash> hashes() const noexcept { return {hashes_.data(), count_}; }
  std::span<const uint32_t> bodies() const noexcept { return {bodies_.data(), count_}; }
  std::span<proto::Reply> replies() noexcept { return {replies_.data(), count_}; }

 private:
  size_t count_ = 0;
  std::array<proto::Command, core::kBatchKeys + 1> commands_;
  std::array<core::KeyHash, core::kBatchKeys> hashes_;
  std::array<uint32_t, core::kBatchKeys> bodies_;
  std::array<proto::Reply, core::kBatchKeys> replies_;
};

}  // namespace larder::daemon
