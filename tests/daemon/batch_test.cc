#include "daemon/batch.h"

#include <catch2/catch.hpp>

using larder::core::kBatchKeys;
using larder::core::KeyHash;
using larder::daemon::Batch;
using larder::proto::Op;

TEST_CASE("a command joins the batch only with add") {
  Batch batch;
  batch.next().op = Op::Store;  // parsed, found to be no read
  CHECK(batch.empty());
  batch.next().op = Op::Get;
  batch.add(KeyHash{7});
  CHECK(batch.size() == 1);
  CHECK(batch.commands()[0].op == Op::Get);
  CHECK(batch.hashes()[0].bits == 7);
  CHECK(batch.replies().size() == 1);
}

TEST_CASE("a full batch still has room to parse the next command") {
  Batch batch;
  for (size_t i = 0; i < kBatchKeys; ++i) batch.add(KeyHash{i});
  batch.next().op = Op::Version;
  CHECK(batch.size() == kBatchKeys);
  CHECK(batch.hashes()[kBatchKeys - 1].bits == kBatchKeys - 1);
  batch.clear();
  CHECK(batch.empty());
}
