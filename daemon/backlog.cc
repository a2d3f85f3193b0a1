#include "daemon/backlog.h"

#include <limits.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace larder::daemon {
namespace {

using Piece = proto::ReplyBuffer::Piece;

bool worth_holding(const Piece& piece) {
  return piece.owner != nullptr &&
         static_cast<const core::Item*>(piece.owner)->value_bytes() > kHoldAboveBytes;
}

}  // namespace

std::unique_ptr<Backlog> Backlog::keep(std::span<const Piece> pieces, size_t sent,
                                       core::Cache& cache, ClientBuffers& buffers, Client client) {
  while (!pieces.empty() && sent >= pieces.front().bytes) {
    sent -= pieces.front().bytes;
    pieces = pieces.subspan(1);
  }
  uint64_t total = 0;
  size_t to_copy = 0;
  size_t skip = sent;
  for (const Piece& piece : pieces) {
    total += piece.bytes - skip;
    if (!worth_holding(piece)) to_copy += piece.bytes - skip;
    skip = 0;
  }
  std::unique_ptr<Backlog> backlog(new Backlog(cache));
  backlog->left_ = total;
  backlog->copied_ = std::make_unique_for_overwrite<char[]>(to_copy);
  backlog->parts_.reserve(pieces.size());
  char* copy = backlog->copied_.get();
  skip = sent;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const char* data = pieces[i].data + skip;
    const size_t bytes = pieces[i].bytes - skip;
    skip = 0;
    if (bytes == 0) continue;
    if (worth_holding(pieces[i])) {
      // One hold for each piece: a large value's parts go out one by one, and the last takes the
      // chunks with it.
      const auto* item = static_cast<const core::Item*>(pieces[i].owner);
      cache.hold(item);
      backlog->parts_.push_back({data, bytes, item});
      continue;
    }
    std::memcpy(copy, data, bytes);
    auto& parts = backlog->parts_;
    if (!parts.empty() && parts.back().held == nullptr) {
      parts.back().bytes += bytes;  // the copies lie side by side
    } else {
      parts.push_back({copy, bytes, nullptr});
    }
    copy += bytes;
  }
  backlog->copies_claim_.take(buffers.copies, client.worker, client.connection, to_copy);
  buffers.pinned.set_limit(cache.memory_limit() / ClientBuffers::kPinnedShare);
  backlog->pinned_claim_.take(buffers.pinned, client.worker, client.connection, total - to_copy);
  return backlog;
}

Backlog::~Backlog() {
  for (size_t i = next_; i < parts_.size(); ++i) {
    if (parts_[i].held != nullptr) cache_.release(parts_[i].held);
  }
}

Socket::Moved Backlog::send(Socket& socket) {
  Socket::Moved all{Socket::Status::Ok, 0};
  while (!empty()) {
    if (all.bytes == kBytesPerSend) return {Socket::Status::Again, all.bytes};
    std::array<iovec, 256> window;
    size_t count = 0;
    size_t offered = 0;
    for (size_t i = next_; i < parts_.size() && count < window.size(); ++i, ++count) {
      const size_t bytes = std::min(parts_[i].bytes, kBytesPerSend - all.bytes - offered);
      if (bytes == 0) break;
      window[count] = {const_cast<char*>(parts_[i].data), bytes};
      offered += bytes;
    }
    const Socket::Moved moved = socket.send({window.data(), count});
    if (moved.status != Socket::Status::Ok) return {moved.status, all.bytes};
    all.bytes += moved.bytes;
    drop_front(moved.bytes);
    if (moved.bytes < offered) return {Socket::Status::Again, all.bytes};
  }
  return all;
}

void Backlog::drop_front(size_t bytes) noexcept {
  left_ -= bytes;
  uint64_t of_copies = 0;
  uint64_t of_pinned = 0;
  while (bytes > 0) {
    Part& part = parts_[next_];
    const size_t taken = std::min(bytes, part.bytes);
    part.data += taken;
    part.bytes -= taken;
    bytes -= taken;
    (part.held != nullptr ? of_pinned : of_copies) += taken;
    if (part.bytes > 0) break;
    if (part.held != nullptr) cache_.release(part.held);
    ++next_;
  }
  copies_claim_.give_back(of_copies);
  pinned_claim_.give_back(of_pinned);
}

}  // namespace larder::daemon
