// However a stream is cut, it says the same commands.
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "proto/binary_protocol.h"
#include "proto/text_protocol.h"
#include "proto/verbs.h"
#include "tests/proto/binary_request.h"
#include "tests/proto/player.h"

using namespace larder::proto;
using larder::test::big_endian;
using larder::test::BinaryRequest;
using larder::test::play;

namespace {

const std::string kLongest(250, 'k');
const std::string kTooLong(251, 'k');

std::vector<std::string> text_samples() {
  return {
      "get a\r\n",
      "get  a  b \r\nget c\n",
      "gets a bb ccc\r\n",
      "gat 10 a b\r\n",
      "gats -5  a\r\n",
      "get a\r \r\r\n",
      "get " + kLongest + " " + kLongest + "\r\nversion\r\n",
      "get a " + kTooLong + " c\r\nversion\r\n",
      "get " + kTooLong + "\r\r\nversion\r\n",
      "gat x a b c\r\nversion\r\n",
      "gat x " + kTooLong + "\r\nversion\r\n",
      "gat x \r\nget \r\ngets\r\ngat\n",
      "set k 1 2 10 noreply\r\nget k\r\n ok\r\n\r\nversion\r\n",
      "set k 0 0 0\r\n\r\nadd k 0 0 1\r\nx\r\nreplace k 0 0 1\nx\r\n",
      "append k 0 0 2\r\n\r\n\r\nprepend k 0 0 1\r\n\n\r\ncas k 0 0 1 99\r\nx\r\n",
      "set " + kTooLong + " 0 0 5\r\nhello\r\nversion\r\n",
      "set k x 0 5 noreply\r\nhello\r\nversion\r\n",
      "set k 0 0 -1\r\nversion\r\n",
      "delete k\r\ndelete k 0 noreply\r\nincr k 1\r\ndecr k 2 noreply\r\ntouch k 3\r\n",
      "flush_all\r\nflush_all 10 noreply\r\n flush_all x\r\nverbosity 1\r\n",
      "stats\r\nstats items\r\nversion\r\ncache_memlimit 64\r\nshutdown graceful\r\ndebugtime "
      "p\r\n",
      "\r\n\na\r\nab\r\nGET k\r\n \r\nfoo noreply\r\n",
      "mn\r\nmg k v t f\r\nmg Zm9v b k v\r\nmg k v v\r\nmg !!!! b\r\n",
      "ms k 5 T30 F9 O7 k q\r\nhello\r\nmn\r\n",
      "ms Zm9v 3 b MA N30\r\n\r\n!\r\nms k 3 S\r\nabc\r\nms k 3 !\r\nmn\r\n",
      "md k I T30 q\r\nma k D5 N0 J9 v\r\nme k\r\nme Zm9v b x\r\nmn\r\n",
      "mg " + kLongest + " k v\r\nmg " + kTooLong + " k v\r\nmn\r\n",
      "config get cluster\r\nconfig delete x\r\nconfig get\r\nconfig\r\nconfuse\r\nversion\r\n",
      "config set cluster 0 10\r\nget k\r\n ok\r\n\r\nconfig set cluster 7 0\r\n\r\nversion\r\n",
      "config set a b 2\r\nxx\r\nconfig set a 0 2 x\r\nxx\r\nconfig set a 0 1\r\nxx\r\nmn\r\n",
      "config set a 0 -1\r\nconfig set a 0 99999\r\nversion\r\n",
      "version\r\nquit\r\nversion\r\n",
      "version\r\nGET / HTTP/1.1\r\nversion\r\n",
      "get a\r\nget b",
      "set k 0 0 5\r\nhel",
  };
}

std::vector<std::string> binary_samples() {
  std::vector<std::string> samples;
  const std::string noop = BinaryRequest{.opcode = 0x0a}.bytes();
  for (const BinaryVerb& verb : kBinaryVerbs) {
    BinaryRequest request{.opcode = verb.opcode, .cas = 7};
    switch (verb.shape) {
      case BinaryShape::Value:
        request.extras = big_endian(5, 4) + big_endian(6, 4);
        request.value = noop;  // a value that looks like a request
        break;
      case BinaryShape::Config:
        request.extras = big_endian(5, 4);
        request.value = noop;
        break;
      case BinaryShape::Concat:
      case BinaryShape::Auth:
        request.value = "tail";
        break;
      case BinaryShape::KeyTime:
      case BinaryShape::Flush:
        request.extras = big_endian(30, 4);
        break;
      case BinaryShape::Arith:
        request.extras = big_endian(1, 8) + big_endian(2, 8) + big_endian(3, 4);
        break;
      default:
        break;
    }
    if (verb.shape != BinaryShape::Empty && verb.shape != BinaryShape::Flush) request.key = "key";
    samples.push_back(request.bytes() + noop);
  }
  samples.push_back(BinaryRequest{.opcode = 0x61, .key = "k", .value = noop}.bytes() + noop);
  samples.push_back(noop + BinaryRequest{.opcode = 0x00}.bytes() + noop);
  samples.push_back(BinaryRequest{.opcode = 0x00, .key = kTooLong}.bytes() + noop);
  samples.push_back(BinaryRequest{.opcode = 0x00, .key = "abc", .body_bytes = 2}.bytes() + noop);
  samples.push_back(noop + "get k\r\n" + std::string(20, 'x'));
  return samples;
}

template <class P>
void check_every_split(const std::string& sample) {
  INFO(sample);
  const auto whole = play<P>(sample);
  CHECK(!whole.commands().empty());
  for (size_t cut = 0; cut <= sample.size(); ++cut) {
    INFO("cut at " << cut);
    const auto cut_once = play<P>(sample, {cut});
    REQUIRE(cut_once.commands() == whole.commands());
    REQUIRE((cut_once.closed() || cut_once.pending() == whole.pending()));
  }
}

template <class P>
void check_random_splits(const std::vector<std::string>& samples) {
  std::mt19937 random(20240807);
  for (int round = 0; round < 2000; ++round) {
    // Three samples in a row, in three pieces, or byte by byte.
    std::string stream;
    for (int i = 0; i < 3; ++i) stream += samples[random() % samples.size()];
    INFO(stream);
    const auto whole = play<P>(stream);
    size_t a = random() % (stream.size() + 1);
    size_t b = random() % (stream.size() + 1);
    if (a > b) std::swap(a, b);
    REQUIRE(play<P>(stream, {a, b}).commands() == whole.commands());
    if (round % 50 != 0) continue;
    std::vector<size_t> cuts;
    for (size_t i = 1; i < stream.size(); ++i) cuts.push_back(i);
    REQUIRE(play<P>(stream, cuts).commands() == whole.commands());
  }
}

}  // namespace

TEST_CASE("text says the same commands at every split point") {
  for (const std::string& sample : text_samples()) check_every_split<TextProtocol>(sample);
}

TEST_CASE("binary says the same commands at every split point") {
  for (const std::string& sample : binary_samples()) check_every_split<BinaryProtocol>(sample);
}

TEST_CASE("streams cut in three at random, or into bytes, say the same commands") {
  check_random_splits<TextProtocol>(text_samples());
  check_random_splits<BinaryProtocol>(binary_samples());
}

TEST_CASE("every sample leaves nothing behind but what is cut off") {
  size_t left = 0;
  for (const std::string& sample : text_samples()) {
    const auto player = play<TextProtocol>(sample);
    if (!player.closed()) left += player.pending();
  }
  CHECK(left == 5);  // half a line: "get b"
  for (const std::string& sample : binary_samples()) {
    const auto player = play<BinaryProtocol>(sample);
    if (!player.closed()) CHECK(player.pending() == 0);
  }
}
