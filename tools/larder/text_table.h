// TextTable: rows under a heading, with columns as wide as what is in them; and figures as short
// words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace larder::operate {

struct TextTable {
  struct Column {
    std::string title;
    bool left = false;  // where its words stand; figures stand at the right
  };
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  // as many words as columns

  // Two blanks between columns, none at the end of a line. Words are as shown() has them.
  std::string text() const;
};

// At most five characters for figures below 10^18: "0", "9999", "12.3k", "4.56M", "123G".
std::string short_figure(double figure);
// "0 B", "1023 B", "1.5 KiB", "64.0 MiB".
std::string bytes_text(uint64_t bytes);
// "9 s", "5 min", "3 h", "12 d": what is of use of an age.
std::string age_text(uint64_t seconds);
std::string fixed(double figure, int digits);

}  // namespace larder::operate
