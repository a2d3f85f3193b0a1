// The meta protocol: mg k v f k, ms k bytes, md, ma, mn.
//
// A multiget is quiet mg commands with their keys returned, ended by mn. noreply is the flag q with
// the slot's index as opaque, so that what still answers (NF, NS, EX) is known by it.
#pragma once

#include "tools/bench/dialect.h"

namespace larder::bench {

class Meta : public Dialect {
 public:
  explicit Meta(const Data& data) : Dialect(data, 2) {}

  void write(std::span<const Op> ops, Exchange& exchange, Output& out) const override;

 protected:
  Step step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const override;

 private:
  Step take_line(const char*& p, std::string_view line, const char* end, Exchange& exchange,
                 Tally& tally) const;
  Step take_value_line(const char*& p, std::string_view line, const char* end, Exchange& exchange,
                       Tally& tally) const;
  Step take_number(const char*& p, std::string_view line, const char* end, size_t at,
                   Exchange& exchange, Tally& tally) const;
};

}  // namespace larder::bench
