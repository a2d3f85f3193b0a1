// The binary protocol. Every opaque is the exchange's serial and the slot's index.
//
// A multiget is quiet getkq requests ended by noop; noreply is the quiet opcodes ended by noop.
#pragma once

#include "tools/bench/dialect.h"

namespace larder::bench {

class Binary : public Dialect {
 public:
  explicit Binary(const Data& data) : Dialect(data, 0) {}

  void write(std::span<const Op> ops, Exchange& exchange, Output& out) const override;

 protected:
  Step step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const override;

 private:
  Step take_reply(const char*& p, const char* end, size_t at, Exchange& exchange,
                  Tally& tally) const;
};

}  // namespace larder::bench
