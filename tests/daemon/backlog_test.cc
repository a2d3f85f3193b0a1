#include "daemon/backlog.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>

using namespace larder;
using daemon::Backlog;
using daemon::ClientBuffers;
using daemon::Connection;
using daemon::Socket;
using proto::ReplyBuffer;

namespace {

// Is never looked at: an address.
Connection* const kClient = reinterpret_cast<Connection*>(1);

// A cache, a turn, and a socket whose other end takes bytes only when told.
class BacklogTest {
 protected:
  BacklogTest() : cache_(config()) {
    cache_.begin_turn(0);
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) throw 0;
    near_ = Socket(fds[0]);
    far_ = Socket(fds[1]);
    const int small = 4096;
    setsockopt(near_.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  }
  ~BacklogTest() { cache_.end_turn(0); }

  static core::CacheConfig config() {
    core::CacheConfig config;
    config.workers = 1;
    return config;
  }

  const core::Item* store(const std::string& key, const std::string& value) {
    const core::KeyRef ref{key, cache_.hash(key)};
    core::ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    core::ItemDraft draft;
    if (cache_.allocate(0, ref, shape, core::kFirstSecond, draft) != core::AllocateStatus::Ok) {
      throw 0;
    }
    draft.append(value);
    return cache_.store(0, std::move(draft), {}, core::kFirstSecond).item;
  }

  void refer(const core::Item* item) {
    std::vector<std::string_view> parts;
    cache_.value_parts(*item, parts);
    for (const std::string_view part : parts) replies_.refer(part, item);
  }

  std::unique_ptr<Backlog> keep(size_t sent) {
    return Backlog::keep(replies_.pieces(), sent, cache_, buffers_, {0, kClient});
  }

  uint64_t claimed() const { return buffers_.copies.used() + buffers_.pinned.used(); }

  // Lets the other end read until the backlog is empty.
  std::string drain(Backlog& backlog) {
    std::string all;
    std::string buffer(65536, 0);
    for (;;) {
      const Socket::Status status = backlog.send(near_).status;
      for (;;) {
        const Socket::Moved got = far_.receive(std::span<char>(buffer));
        if (got.status != Socket::Status::Ok) break;
        all.append(buffer, 0, got.bytes);
      }
      if (status == Socket::Status::Ok) return all;
      if (status != Socket::Status::Again) throw 0;
    }
  }

  core::Cache cache_;
  ClientBuffers buffers_{1 << 20, 64 << 20, 1, nullptr};
  ReplyBuffer replies_;
  Socket near_, far_;
};

std::string pattern(size_t bytes) {
  std::string text(bytes, 0);
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

}  // namespace

TEST_CASE_METHOD(BacklogTest, "what was sent already is left out, wherever the cut lies") {
  const core::Item* large = store("large", pattern(100'000));
  const core::Item* small = store("small", pattern(3'000));
  replies_.copy("VALUE large 0 100000\r\n");
  refer(large);
  replies_.copy("\r\nVALUE small 0 3000\r\n");
  refer(small);
  replies_.copy("\r\nEND\r\n");
  const std::string whole = "VALUE large 0 100000\r\n" + pattern(100'000) +
                            "\r\nVALUE small 0 3000\r\n" + pattern(3'000) + "\r\nEND\r\n";
  REQUIRE(replies_.total_bytes() == whole.size());
  for (const size_t sent :
       {size_t{0}, size_t{1}, size_t{21}, size_t{22}, size_t{23}, size_t{60'000}, size_t{100'021},
        size_t{100'022}, size_t{100'023}, size_t{101'000}, whole.size() - 1}) {
    CAPTURE(sent);
    auto backlog = keep(sent);
    REQUIRE(backlog != nullptr);
    CHECK(backlog->bytes() == whole.size() - sent);
    CHECK(claimed() == whole.size() - sent);
    CHECK(drain(*backlog) == whole.substr(sent));
    CHECK(backlog->empty());
    CHECK(claimed() == 0);
  }
  CHECK(cache_.totals().held_items == 0);
}

TEST_CASE_METHOD(BacklogTest, "a long value is held while its item is replaced and removed") {
  const std::string value = pattern(300'000);
  refer(store("k", value));
  auto backlog = keep(10);
  REQUIRE(backlog != nullptr);
  CHECK(cache_.totals().held_items == 1);
  replies_.clear();

  store("k", std::string(300'000, 'X'));
  cache_.remove(0, {"k", cache_.hash("k")}, {}, core::kFirstSecond);
  for (int i = 0; i < 100; ++i) {
    cache_.end_turn(0);
    cache_.tend(0, core::kFirstSecond, 1000);
    cache_.begin_turn(0);
    store("other" + std::to_string(i), std::string(300'000, 'Y'));
  }
  CHECK(drain(*backlog) == value.substr(10));
  CHECK(cache_.totals().held_items == 0);
  cache_.check_invariants();
}

TEST_CASE_METHOD(BacklogTest, "short values are copied, not held") {
  refer(store("k", pattern(5'000)));
  auto backlog = keep(0);
  REQUIRE(backlog != nullptr);
  CHECK(cache_.totals().held_items == 0);
  CHECK(drain(*backlog) == pattern(5'000));
}

TEST_CASE_METHOD(BacklogTest, "a backlog that is dropped gives everything back") {
  refer(store("k", pattern(200'000)));
  replies_.copy("\r\nEND\r\n");
  {
    auto backlog = keep(0);
    REQUIRE(backlog != nullptr);
    CHECK(backlog->send(near_).status == Socket::Status::Again);
    CHECK(backlog->bytes() < 200'007);
    CHECK(claimed() == backlog->bytes());
    CHECK(cache_.totals().held_items == 1);
  }
  CHECK(claimed() == 0);
  CHECK(cache_.totals().held_items == 0);
}

TEST_CASE_METHOD(BacklogTest, "copies and pinned values count against budgets of their own") {
  refer(store("k", pattern(200'000)));
  replies_.copy("\r\nEND\r\n");
  auto backlog = keep(0);
  CHECK(buffers_.pinned.used() == 200'000);
  CHECK(buffers_.copies.used() == 7);
  CHECK(buffers_.pinned.limit() == cache_.memory_limit() / 4);
  drain(*backlog);
  CHECK(claimed() == 0);
}

TEST_CASE_METHOD(BacklogTest, "a client that is gone is Broken") {
  replies_.copy("END\r\n");
  auto backlog = keep(0);
  far_.close();
  CHECK(backlog->send(near_).status == Socket::Status::Broken);
}
