// Plays the files in tests/transcripts to a server, over TCP and over a unix socket.
//
//   # ...          a comment
//   > text         a line to send; \r\n is added. Lines that follow each other go out in one write
//   >+ text        the same without \r\n
//   < text         a line to expect; \r\n is added
//   <~ text        the same, where each # stands for a number
//   >b / <b        bytes: hex digits and "text" in any mix; ?? in <b is any byte
//   @ seconds      moves the server's clock ahead
//   / ...          a new connection; the old one stays open
//   ! closed       the server closes now
//
// In text, \n, \r, \t, \0, \\ and \xNN are escapes, and \*N repeats the character before it until
// there are N. After each file the server must be silent and alive.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/source_file.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/wire_client.h"

using larder::test::TempFolder;
using larder::test::TempServer;
using larder::test::WireClient;

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  throw std::runtime_error(std::string("no hex digit: ") + c);
}

std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    switch (text.at(++i)) {
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case '0':
        out += '\0';
        break;
      case 'x':
        out += static_cast<char>(hex_digit(text.at(i + 1)) * 16 + hex_digit(text.at(i + 2)));
        i += 2;
        break;
      case '*': {
        size_t digits = 0;
        const unsigned long times = std::stoul(text.substr(i + 1), &digits);
        out.append(times - 1, out.back());
        i += digits;
        break;
      }
      default:
        out += text[i];
    }
  }
  return out;
}

// Bytes to send or expect; nullopt is any byte.
std::vector<std::optional<char>> bytes_of(const std::string& text) {
  std::vector<std::optional<char>> out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
    } else if (text[i] == '"') {
      const size_t end = text.find('"', i + 1);
      for (const char c : unescape(text.substr(i + 1, end - i - 1))) out.emplace_back(c);
      i = end + 1;
    } else if (text[i] == '?') {
      out.emplace_back(std::nullopt);
      i += 2;
    } else {
      out.emplace_back(static_cast<char>(hex_digit(text[i]) * 16 + hex_digit(text.at(i + 1))));
      i += 2;
    }
  }
  return out;
}

// `got` with a # in the place of each number where `pattern` has one.
std::string with_numbers_blanked(const std::string& got, const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < got.size();) {
    if (out.size() < pattern.size() && pattern[out.size()] == '#' && isdigit(got[i]) != 0) {
      while (i < got.size() && isdigit(got[i]) != 0) ++i;
      out += '#';
    } else {
      out += got[i++];
    }
  }
  return out;
}

template <class Connect>
class Player {
 public:
  Player(TempServer& server, Connect connect) : server_(server), connect_(connect) {
    connections_.push_back(connect_());
  }

  void play(const std::filesystem::path& file) {
    std::ifstream lines(file);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      INFO(file.filename().string() << ":" << number << ": " << line);
      play_line(line);
    }
    send_pending();
    for (WireClient& client : connections_) {
      if (client.fd() >= 0 && !binary_) CHECK(client.ask_line("mn") == "MN");
    }
  }

 private:
  static bool starts(const std::string& line, const char* with) { return line.rfind(with, 0) == 0; }

  void play_line(const std::string& line) {
    WireClient& client = connections_.back();
    if (line.empty() || line[0] == '#') return;
    if (starts(line, "> ")) {
      pending_ += unescape(line.substr(2)) + "\r\n";
      return;
    }
    if (line == ">") {
      pending_ += "\r\n";
      return;
    }
    if (starts(line, ">+ ")) {
      pending_ += unescape(line.substr(3));
      return;
    }
    if (starts(line, ">b ")) {
      binary_ = true;
      for (const auto byte : bytes_of(line.substr(3))) pending_ += byte.value();
      return;
    }
    send_pending();
    if (starts(line, "< ") || line == "<") {
      const std::string expected = line.size() < 2 ? "" : unescape(line.substr(2));
      std::string got = client.receive_line();
      got.resize(got.size() - 2);
      REQUIRE(got == expected);
    } else if (starts(line, "<~ ")) {
      std::string got = client.receive_line();
      got.resize(got.size() - 2);
      REQUIRE(with_numbers_blanked(got, unescape(line.substr(3))) == unescape(line.substr(3)));
    } else if (starts(line, "<b ")) {
      const auto expected = bytes_of(line.substr(3));
      std::string got = client.receive(expected.size());
      std::string wanted = got;
      for (size_t i = 0; i < expected.size(); ++i) wanted[i] = expected[i].value_or(got[i]);
      REQUIRE(got == wanted);
    } else if (starts(line, "@ ")) {
      server_.advance(static_cast<unsigned>(std::stoul(line.substr(2))));
    } else if (line[0] == '/') {
      connections_.push_back(connect_());
    } else if (line == "! closed") {
      REQUIRE(client.closed_by_peer());
      client.close();
    } else {
      FAIL("what is this line?");
    }
  }

  void send_pending() {
    if (pending_.empty()) return;
    connections_.back().send(pending_);
    pending_.clear();
  }

  TempServer& server_;
  Connect connect_;
  std::vector<WireClient> connections_;
  std::string pending_;
  bool binary_ = false;
};

std::vector<std::filesystem::path> transcripts() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(larder::test::source_file("tests/transcripts"))) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("transcripts over TCP") {
  REQUIRE(transcripts().size() >= 4);
  for (const auto& file : transcripts()) {
    TempServer server;
    server.server().clock().freeze();  // or a second might pass between two lines
    Player player(server, [&] { return server.connect(); });
    player.play(file);
  }
}

TEST_CASE("transcripts over a unix socket") {
  for (const auto& file : transcripts()) {
    TempFolder folder;
    auto settings = larder::test::loopback_settings();
    settings.unix_socket = folder.file("socket");
    TempServer server(settings);
    server.server().clock().freeze();
    Player player(server, [&] { return WireClient::over_unix(settings.unix_socket); });
    player.play(file);
  }
}
