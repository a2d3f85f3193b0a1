// TlsContexts: how often the files of TLS are read, and for how long that is waited for.
#include "tools/client/tls_contexts.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/stream_client.h"
#include "tests/support/temp_folder.h"

using namespace larder::client;
using larder::test::TempFolder;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

Deadline patience() { return steady_clock::now() + larder::test::kPatience; }

TlsSettings with_authority(const std::string& file) {
  return {.enabled = true, .verify = true, .ca_file = file, .certificate_file = {}, .key_file = {}};
}

// Makes empty contexts, and counts them.
struct Maker {
  std::atomic<int> made = 0;
  TlsContexts::Make make = [this](const TlsSettings&) -> Result<TlsContexts::Context> {
    ++made;
    return TlsContexts::Context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  };
};

}  // namespace

TEST_CASE("a context is made once for its settings, until a file of them changes") {
  TempFolder folder;
  const std::string file = folder.file("ca");
  std::ofstream(file) << "one";
  TlsContexts contexts;
  Maker maker;
  const TlsSettings settings = with_authority(file);
  const auto first = contexts.get(settings, patience(), maker.make);
  REQUIRE(first.ok());
  CHECK(*contexts.get(settings, Deadline::max(), maker.make) == *first);
  CHECK(maker.made == 1);
  TlsSettings unverified = settings;
  unverified.verify = false;
  CHECK(*contexts.get(unverified, patience(), maker.make) != *first);
  std::ofstream(file) << "another";
  CHECK(*contexts.get(settings, patience(), maker.make) != *first);
  CHECK(maker.made == 3);
}

TEST_CASE("the contexts that were used last are kept, and no error is") {
  TlsContexts contexts;
  Maker maker;
  const auto get = [&](size_t i) {
    return contexts.get(with_authority("no file " + std::to_string(i)), patience(), maker.make)
        .ok();
  };
  for (size_t i = 0; i < TlsContexts::kMost; ++i) CHECK(get(i));
  CHECK(get(0));
  CHECK(maker.made == TlsContexts::kMost);
  CHECK(get(TlsContexts::kMost));  // the one for 1 goes
  CHECK(get(0));
  CHECK(maker.made == TlsContexts::kMost + 1);
  CHECK(get(1));
  CHECK(maker.made == TlsContexts::kMost + 2);

  int failed = 0;
  const TlsContexts::Make fail = [&](const TlsSettings&) -> Result<TlsContexts::Context> {
    ++failed;
    return Error{ErrorKind::BadRequest, "no"};
  };
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(contexts.get(with_authority("bad"), patience(), fail).ok());
  }
  CHECK(failed == 2);
}

TEST_CASE("no context is waited for past the deadline, and many threads make one") {
  TlsContexts contexts;
  Maker maker;
  const TlsSettings settings = with_authority("no file");
  const auto late = contexts.get(settings, steady_clock::now(), maker.make);
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().kind == ErrorKind::Timeout);
  CHECK(maker.made == 0);

  std::promise<void> begun;
  std::promise<void> may_end;
  const TlsContexts::Make slow = [&](const TlsSettings& s) {
    begun.set_value();
    may_end.get_future().wait();
    return maker.make(s);
  };
  std::atomic<int> good = 0;
  std::thread first([&] { good += contexts.get(settings, patience(), slow).ok(); });
  begun.get_future().wait();
  const auto deadline = steady_clock::now() + milliseconds(20);
  CHECK_FALSE(contexts.get(settings, deadline, maker.make).ok());
  CHECK(steady_clock::now() >= deadline);
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) {
    others.emplace_back([&] { good += contexts.get(settings, patience(), maker.make).ok(); });
  }
  may_end.set_value();
  first.join();
  for (std::thread& other : others) other.join();
  CHECK(good == 5);
  CHECK(maker.made == 1);
}
