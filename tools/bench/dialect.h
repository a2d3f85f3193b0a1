// A protocol as a client speaks it: writes requests, and checks the replies, every byte of them.
//
// Invariants:
// 1. Replies are matched to slots strictly in order. Quiet slots may be passed over, and what that
//    means is counted when something behind them has answered.
// 2. Nothing is taken before it is whole, except values above kWholeBytes: a reply may arrive in
// any
//    fragments.
// 3. What differs is an error of the tally. `Broken` says that what follows cannot be understood.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tools/bench/exchange.h"

namespace larder::bench {

// Immutable: any thread.
class Dialect {
 public:
  // Incomplete replies of up to this size are left with the caller; larger values are taken in
  // parts.
  static constexpr size_t kWholeBytes = 8192;
  // What the caller must be able to keep: such a reply with its head.
  static constexpr size_t kTailBytes = kWholeBytes + 1024;

  enum class Name : uint8_t { Classic, Meta, Binary, Resp };

  // `data` must outlive the dialect.
  static std::unique_ptr<Dialect> make(Name name, const Data& data);

  virtual ~Dialect() = default;

  // Appends the requests and fills in the slots of `exchange`, which has begun.
  virtual void write(std::span<const Op> ops, Exchange& exchange, Output& out) const = 0;

  // Takes what it can of what has come; returns how many bytes. What it leaves, at most kTailBytes,
  // must be there again in front of what comes next. Nothing may be left once exchange.done().
  struct Taken {
    size_t bytes;
    bool broken;
  };
  [[nodiscard]] Taken read(const char* data, size_t bytes, Exchange& exchange, Tally& tally) const;

 protected:
  enum class Step : uint8_t { Next, More, Broken };

  explicit Dialect(const Data& data, size_t trailer_bytes)
      : data_(data), trailer_bytes_(trailer_bytes) {}

  // Answers slots from the reply at `p`, which is moved behind what was taken.
  virtual Step step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const = 0;

  // The value of slots[cursor], whose head has been checked and ends at p + head_bytes.
  Step take_value(const char*& p, const char* end, size_t head_bytes, Exchange& exchange,
                  Tally& tally) const;
  // Passes over quiet slots before `upto`: gets are misses, all else was done.
  void pass(Exchange& exchange, size_t upto, Tally& tally) const;
  // Counts slots[cursor] and what follows from it, and moves on.
  void hit(Exchange& exchange, Tally& tally) const;
  void miss(Exchange& exchange, Tally& tally) const;
  // The first slot from the cursor on that is not quiet.
  static size_t next_loud(const Exchange& exchange) {
    size_t at = exchange.cursor;
    while (exchange.slots[at].quiet) ++at;
    return at;
  }
  // "get of key-0001 (100 bytes)"
  std::string describe(const Slot& slot) const;
  const Keys& keys_of(Kind kind) const {
    return kind == Kind::Incr || kind == Kind::Add ? data_.counters : data_.keys;
  }

  const Data& data_;

 private:
  Step stream_value(const char*& p, const char* end, Exchange& exchange, Tally& tally) const;
  Step end_value(bool equal, const char* trailer, Exchange& exchange, Tally& tally) const;

  const size_t trailer_bytes_;  // behind a value: \r\n or nothing
};

// Throws std::invalid_argument with a sentence about `text`.
Dialect::Name parse_dialect(std::string_view text);
std::string_view name_of(Dialect::Name name);

}  // namespace larder::bench
