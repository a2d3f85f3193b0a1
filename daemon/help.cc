#include "daemon/help.h"

#include <algorithm>

#include "daemon/options.h"

namespace larder::daemon {
namespace {

void append_wrapped(std::string& out, std::string_view left, std::string_view text) {
  constexpr size_t kIndent = 30;
  constexpr size_t kWidth = 96;
  out += left;
  size_t column = left.size();
  if (column >= kIndent) {
    out += '\n';
    column = 0;
  }
  out.append(kIndent - column, ' ');
  column = kIndent;
  bool first = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (!first && column + 1 + word.size() > kWidth) {
      out += '\n';
      out.append(kIndent, ' ');
      column = kIndent;
      first = true;
    }
    if (!first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    first = false;
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  out += '\n';
}

// "-p, --port" of "-p,--port".
std::string with_blank(std::string_view names) {
  std::string out(names);
  if (const size_t comma = out.find(','); comma != std::string::npos) out.insert(comma + 1, " ");
  return out;
}

}  // namespace

std::string version_text(std::string_view invoked_as) {
  const std::string_view name = invoked_as.substr(invoked_as.rfind('/') + 1);
  // Scripts and clients' tests ask the program called memcached for its version and parse it.
  if (name == "memcached" || name == "memcached-debug") return "memcached 1.6.45\n";
  return "larderd " LARDER_VERSION " (speaks as memcached 1.6.45)\n";
}

std::string help_text() {
  std::string out = "larderd " LARDER_VERSION "\n";
  for (const Option& option : options()) {
    if (option.help == nullptr) continue;
    std::string left = with_blank(option.names);
    if (option.argument != nullptr) {
      left += left.find("--") != std::string::npos ? '=' : ' ';
      left += option.argument;
    }
    append_wrapped(out, left, option.help);
  }
  for (const PrintOption& option : print_options()) {
    append_wrapped(out, with_blank(option.names), option.help);
  }
  out += "\nWith -o:\n";
  std::string others;
  for (const SubOption& option : sub_options()) {
    if (option.help == nullptr) {
      others += others.empty() ? "" : " ";
      others += option.name;
      continue;
    }
    if (*option.help == '\0') continue;
    std::string left = std::string("   - ") + option.name;
    if (option.takes == Takes::Value) left += "=<value>";
    append_wrapped(out, left, option.help);
  }
  out += "\nAlso accepted with -o, checked, and without effect, since they are about parts that\n";
  out += "larderd does not have:\n";
  append_wrapped(out, "", others);
  return out;
}

std::string license_text() {
  return "larderd is free software under the BSD 3-Clause License; its text is in the file "
         "LICENSE\n"
         "of the source and beside the program's documentation. It uses libevent (3-Clause BSD),\n"
         "CLI11 (3-Clause BSD), xxHash (2-Clause BSD), OpenSSL (Apache License 2.0), dygraphs "
         "(MIT)\n"
         "and Cyrus SASL (BSD with attribution), which is developed by Computing Services at\n"
         "Carnegie Mellon University.\n";
}

}  // namespace larder::daemon
