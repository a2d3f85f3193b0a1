// ParseOne: the first command in some bytes, with the bytes its views point into.
#pragma once

#include <string>
#include <utility>

#include "proto/command.h"

namespace larder::test {

template <class P>
struct ParseOne {
  explicit ParseOne(std::string bytes) : input(std::move(bytes)) {
    parsed = parser.parse(input.data(), input.size(), command);
  }
  ParseOne(const ParseOne&) = delete;
  ParseOne& operator=(const ParseOne&) = delete;

  bool complete() const { return parsed.status == proto::Parsed::Status::Complete; }
  bool needs_more() const { return parsed.status == proto::Parsed::Status::NeedMore; }
  bool closes() const { return parsed.status == proto::Parsed::Status::Close; }
  bool refused(proto::ErrorId error) const {
    return complete() && command.op == proto::Op::Error && command.error == error;
  }
  bool whole() const { return parsed.consumed == input.size(); }

  // The next command in what was left over, over the one before.
  void again() {
    offset += parsed.consumed;
    parsed = parser.parse(input.data() + offset, input.size() - offset, command);
  }

  std::string input;
  P parser;
  proto::Command command;
  proto::Parsed parsed;
  size_t offset = 0;
};

}  // namespace larder::test
