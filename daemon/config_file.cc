#include "daemon/config_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "daemon/settings.h"

namespace larder::daemon {
namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

// Nothing if a quotation mark is not closed.
std::optional<std::vector<std::string>> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool next = i + 1 < line.size();
    if (quote != 0) {
      const bool escapes = quote == '"' && c == '\\' && next;
      if (c == quote) {
        quote = 0;
      } else if (escapes && (line[i + 1] == '"' || line[i + 1] == '\\')) {
        word += line[++i];
      } else {
        word += c;
      }
      continue;
    }
    if (c == '#') break;
    if (blank(c)) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '\\' && next) {
      word += line[++i];
    } else {
      word += c;
    }
  }
  if (quote != 0) return std::nullopt;
  if (in_word) words.push_back(std::move(word));
  return words;
}

bool left_out(const std::string& option) {
  return option.starts_with("-d") || option.starts_with("-h") || option == "--daemon" ||
         option == "--help";
}

}  // namespace

ConfigFile parse_config(std::string_view text, const std::string& name) {
  ConfigFile config;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() == text.size() ? text.size() : line.size() + 1);
    std::string place = name;
    place += ", line " + std::to_string(number) + ": ";
    // Not an option, and so nothing that quotes could be about.
    const size_t start = line.find_first_not_of(" \t\r\f\v");
    if (start == std::string_view::npos || line[start] == '#') continue;
    if (line[start] != '-') {
      const size_t end = std::min(line.find_first_of(" \t\r\f\v#", start), line.size());
      config.remarks.push_back(place + "'" + std::string(line.substr(start, end - start)) +
                               "' is no option and has no effect");
      continue;
    }
    const std::optional<std::vector<std::string>> words = words_of(line);
    if (!words) {
      throw SettingsError(ExitCode::Usage, place + "a quotation mark is not closed");
    }
    if (left_out(words->front())) continue;
    config.words.insert(config.words.end(), words->begin(), words->end());
  }
  return config;
}

ConfigFile read_config_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  std::string text;
  bool whole = file != nullptr;
  while (whole && std::feof(file.get()) == 0) {
    char buffer[4096];
    text.append(buffer, std::fread(buffer, 1, sizeof buffer, file.get()));
    whole = std::ferror(file.get()) == 0;
  }
  if (!whole) {
    throw SettingsError(ExitCode::Usage,
                        "option --config: cannot read '" + path + "': " + std::strerror(errno));
  }
  return parse_config(text, path);
}

}  // namespace larder::daemon
