#include "daemon/event.h"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

using namespace larder::daemon;

namespace {

std::string line(const Event& event, std::string_view text) {
  std::string out;
  append_line(event, text, out);
  return out;
}

Event event_of(EventKind kind) {
  Event event;
  event.kind = kind;
  event.gid = 12;
  event.unix_us = 1'700'000'000'000'042;
  return event;
}

template <class Enum>
uint8_t byte(Enum value) {
  return static_cast<uint8_t>(value);
}

}  // namespace

TEST_CASE("streams are asked for by name, by a beginning of it, or not at all") {
  CHECK(Streams::parse("") == Streams::kFetchers);
  CHECK(Streams::parse("fetchers") == Streams::kFetchers);
  CHECK(Streams::parse("mutations") == Streams::kMutations);
  CHECK(Streams::parse("evictions") == Streams::kEvictions);
  CHECK(Streams::parse("deletions") == Streams::kDeletions);
  CHECK(Streams::parse("connevents") == Streams::kConnEvents);
  CHECK(Streams::parse("sysevents") == Streams::kSysEvents);
  for (const char* silent : {"rawcmds", "proxyreqs", "proxyevents", "proxyuser", "p"}) {
    CHECK(Streams::parse(silent) == Streams::kSilent);
  }
  CHECK(Streams::parse("fetchers   mutations") == (Streams::kFetchers | Streams::kMutations));
  CHECK(Streams::parse("m e") == (Streams::kMutations | Streams::kEvictions));
  CHECK(Streams::parse("fetchers nonsense") == 0);
  CHECK(Streams::parse("fetcherss") == 0);
}

TEST_CASE("lines are spelled as memcached's") {
  Event get = event_of(EventKind::ItemGet);
  get.fd = 30;
  CHECK(
      line(get, "foo") ==
      "ts=1700000000.000042 gid=12 type=item_get key=foo status=not_found clsid=0 cfd=30 size=0\n");
  get.what = byte(FetchStatus::Found);
  get.size_class = 3;
  get.value_bytes = 5;
  CHECK(line(get, "foo") ==
        "ts=1700000000.000042 gid=12 type=item_get key=foo status=found clsid=3 cfd=30 size=5\n");
  get.what = byte(FetchStatus::Expired);
  CHECK(line(get, "f").find(" status=expired ") != std::string::npos);
  get.what = byte(FetchStatus::Flushed);
  CHECK(line(get, "f").find(" status=flushed ") != std::string::npos);

  Event store = event_of(EventKind::ItemStore);
  store.what = byte(StoreOutcome::Stored);
  store.how = byte(StoreCommand::Cas);
  store.ttl_seconds = 100;
  store.size_class = 2;
  store.fd = 4;
  store.value_bytes = 9;
  CHECK(line(store, "k") ==
        "ts=1700000000.000042 gid=12 type=item_store key=k status=stored cmd=cas ttl=100 clsid=2 "
        "cfd=4 size=9\n");

  Event eviction = event_of(EventKind::Eviction);
  eviction.what = 1;
  eviction.ttl_seconds = -1;
  eviction.number = 77;
  eviction.size_class = 5;
  eviction.value_bytes = 8;
  CHECK(line(eviction, "k") ==
        "ts=1700000000.000042 gid=12 type=eviction key=k fetch=yes ttl=-1 la=77 clsid=5 size=8\n");

  Event deleted = event_of(EventKind::Deleted);
  deleted.how = byte(DeleteCommand::Md);
  deleted.size_class = 1;
  deleted.value_bytes = 4;
  CHECK(line(deleted, "k") ==
        "ts=1700000000.000042 gid=12 type=deleted key=k cmd=md clsid=1 size=4\n");

  Event arrival = event_of(EventKind::ConnNew);
  arrival.what = byte(Transport::Tcp);
  arrival.number = 50000;
  arrival.fd = 6;
  CHECK(
      line(arrival, "127.0.0.1") ==
      "ts=1700000000.000042 gid=12 type=conn_new rip=127.0.0.1 rport=50000 transport=tcp cfd=6\n");

  Event close = event_of(EventKind::ConnClose);
  close.what = byte(Transport::Local);
  close.how = byte(CloseReason::IdleTimeout);
  close.fd = 6;
  CHECK(line(close, "unix") ==
        "ts=1700000000.000042 gid=12 type=conn_close rip=unix rport=0 transport=local "
        "reason=idle_timeout cfd=6\n");

  Event error = event_of(EventKind::TlsError);
  error.fd = 6;
  CHECK(line(error, "wrong version number") ==
        "ts=1700000000.000042 gid=12 type=conntlserr fd=6 msg=wrong version number\n");

  Event move = event_of(EventKind::SlabMove);
  move.size_class = 9;
  CHECK(line(move, "") == "ts=1700000000.000042 gid=12 type=slab_move src=9 dst=0 state=ok\n");
}

TEST_CASE("a key of any bytes is one word of its line") {
  const std::string key = std::string("a-._~Z0 %\n\0\xff", 12);
  CHECK(line(event_of(EventKind::Deleted), key).find(" key=a-._~Z0%20%25%0A%00%FF ") !=
        std::string::npos);
  const std::string longest(250, '#');
  std::string encoded;
  for (int i = 0; i < 250; ++i) encoded += "%23";
  CHECK(line(event_of(EventKind::Deleted), longest).find(" key=" + encoded + " cmd=") !=
        std::string::npos);
}

TEST_CASE("the other end of a unix socket has no address") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const Endpoint peer = peer_endpoint(ends[0]);
  CHECK(peer.ip == "unix");
  CHECK(peer.port == 0);
  CHECK(peer.transport == Transport::Local);
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(peer_endpoint(ends[0]).ip == "unknown");
}
