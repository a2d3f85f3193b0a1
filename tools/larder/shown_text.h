// Text of servers and keys as a terminal may get it: bytes that a terminal obeys are %-codes.
//
// A code is '%' and two digits, as in "%1B" for ESC. Coded are the control characters 0x00 to 0x1F
// and 0x7F, the control characters U+0080 to U+009F (C1), and all bytes that are no UTF-8. Other
// UTF-8 stays as it is, and so does '%': the text is to be read by people, and key_text.h has the
// form that can be read back.
//
// Any thread.
#pragma once

#include <string>
#include <string_view>

namespace larder::operate {

// For a part of a line: line ends and tabs are coded, too.
std::string shown(std::string_view text);

// For whole lines: line ends and tabs stay.
std::string shown_lines(std::string_view text);

// The bytes of the UTF-8 character that `text` begins with, 1 to 4; 0: it begins with none (RFC
// 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_bytes(std::string_view text);

// Appends "%XX" for each byte.
void append_codes(std::string_view bytes, std::string& text);

}  // namespace larder::operate
