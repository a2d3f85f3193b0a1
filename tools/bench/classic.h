// The classic text protocol: get k1 k2 ..., set k 0 ttl bytes [noreply].
//
// A get, of one key or many, is a quiet slot for each key and one for END. Exchanges with noreply
// end in mn, whose MN is answered after all of them.
#pragma once

#include "tools/bench/dialect.h"

namespace larder::bench {

class Classic : public Dialect {
 public:
  explicit Classic(const Data& data) : Dialect(data, 2) {}

  void write(std::span<const Op> ops, Exchange& exchange, Output& out) const override;

 protected:
  Step step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const override;

 private:
  char* write_set(char* out, std::string_view verb, const Op& op) const;
  Step take_line(const char*& p, std::string_view line, const char* end, Exchange& exchange,
                 Tally& tally) const;
  Step take_value_line(const char*& p, std::string_view line, const char* end, Exchange& exchange,
                       Tally& tally) const;
};

}  // namespace larder::bench
