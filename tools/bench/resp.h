// RESP2, the protocol of Redis 7: GET, MGET, SET, DEL, INCRBY, EXPIRE.
//
// Redis answers every request, in order, so no slot is quiet. A multiget is one MGET: its reply is
// an array, so an Array slot with the number of keys stands before the slots of the keys. RESP
// carries no flags, and this dialect has neither cas nor noreply (refusal_of() in workload.h).
//
// Three operations differ from those of memcached:
// - incr creates a missing counter, so it never misses.
// - add is SET with NX.
// - touch with a ttl of 0 is TOUCH, because EXPIRE with 0 deletes the key. A key's ttl is a
//   function of its number, so such a key has no expiry that TOUCH could leave in place.
//
// Source: redis.io, "Redis serialization protocol specification", RESP2.
#pragma once

#include "tools/bench/dialect.h"

namespace larder::bench {

class Resp : public Dialect {
 public:
  explicit Resp(const Data& data) : Dialect(data, 2) {}

  void write(std::span<const Op> ops, Exchange& exchange, Output& out) const override;

 protected:
  Step step(const char*& p, const char* end, Exchange& exchange, Tally& tally) const override;

 private:
  char* write_key(char* out, const Op& op) const;
  char* write_set(char* out, const Op& op) const;
  Step take_line(const char*& p, std::string_view line, Exchange& exchange, Tally& tally) const;
  std::string describe_request(const Exchange& exchange) const;
};

}  // namespace larder::bench
