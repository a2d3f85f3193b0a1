// Player: feeds bytes to a parser as a connection would, in any cut, and writes down what it makes
// of them. For tests of parsers and for the fuzz targets.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/command.h"

namespace larder::test {

// Everything a command says that is not 0, on one line; equal lines mean equal commands.
inline std::string describe(const proto::Command& c) {
  std::string line;
  const auto number = [&](const char* name, auto value) {
    if (value == 0) return;
    line += ' ';
    line += name;
    line += '=';
    line += std::to_string(value);
  };
  const auto text = [&](const char* name, std::string_view value) {
    if (value.empty()) return;
    line += ' ';
    line += name;
    line += "='";
    line += value;
    line += '\'';
  };
  number("op", static_cast<int>(c.op));
  number("dialect", static_cast<int>(c.dialect));
  number("mode", static_cast<int>(c.mode));
  number("opcode", c.opcode);
  number("error", static_cast<int>(c.error));
  number("want", c.want);
  text("key", c.key);
  text("opaque", c.opaque);
  text("flags", c.return_flags);
  text("args", c.args);
  number("cas", c.cas);
  number("new_cas", c.new_cas);
  number("delta", c.delta);
  number("initial", c.initial);
  number("client_flags", c.client_flags);
  number("value_bytes", c.value_bytes);
  number("swallow", c.swallow_bytes);
  number("exptime", c.exptime);
  number("vivify", c.vivify_exptime);
  number("recache", c.recache_exptime);
  return line;
}

template <class P>
class Player {
 public:
  // Takes more input, and parses as far as that goes. Once closed it looks at nothing more.
  //
  // The parser sees a buffer of exactly what there is, so that a sanitizer notices every byte read
  // beyond it; what it changes there (a key decoded in place) stays changed.
  void feed(std::string_view bytes) {
    const size_t size = left_.size() + bytes.size();
    const auto input = std::make_unique<char[]>(size);
    left_.copy(input.get(), left_.size());
    bytes.copy(input.get() + left_.size(), bytes.size());
    size_t used = 0;
    while (!closed_ && used < size) {
      const size_t skipped = std::min(skip_, size - used);
      skip_ -= skipped;
      used += skipped;
      if (used == size || !step(input.get() + used, size - used, used)) break;
    }
    left_.assign(input.get() + used, size - used);
  }

  const std::vector<std::string>& commands() const { return commands_; }
  // What is left: part of a command, or of a body that is skipped.
  size_t pending() const { return left_.size(); }
  bool closed() const { return closed_; }

 private:
  // False if the parser wants more, or has closed.
  bool step(char* data, size_t size, size_t& used) {
    proto::Command command;
    const proto::Parsed parsed = parser_.parse(data, size, command);
    require(parsed.consumed <= size);
    used += parsed.consumed;
    switch (parsed.status) {
      case proto::Parsed::Status::Complete:
        note(command);
        // Only a change of state excuses a command that took nothing; it cannot go on for long.
        idle_ = parsed.consumed > 0 ? 0 : idle_ + 1;
        require(idle_ < 3);
        return true;
      case proto::Parsed::Status::NeedMore:
        return false;
      case proto::Parsed::Status::Close:
        commands_.push_back("close");
        closed_ = true;
        return false;
    }
    return false;
  }

  void note(const proto::Command& command) {
    commands_.push_back(describe(command));
    if (command.op == proto::Op::Store) {
      skip_ = size_t{command.value_bytes} + P::kTrailerBytes;
    } else if (command.op == proto::Op::Error) {
      skip_ = command.swallow_bytes;
    }
    if (command.op == proto::Op::Quit || command.wants(proto::Want::kClose)) closed_ = true;
  }

  // As assert, but in every build: the fuzz targets rest on it.
  static void require(bool holds) {
    if (!holds) std::abort();
  }

  P parser_;
  std::string left_;
  std::vector<std::string> commands_;
  size_t skip_ = 0;
  int idle_ = 0;
  bool closed_ = false;
};

// All commands in `input`, fed in pieces that end at the given places, ascending.
template <class P>
Player<P> play(std::string_view input, const std::vector<size_t>& cuts = {}) {
  Player<P> player;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    player.feed(input.substr(begin, cut - begin));
    begin = cut;
  }
  player.feed(input.substr(begin));
  return player;
}

}  // namespace larder::test
