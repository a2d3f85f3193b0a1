#include "tools/manual/roff.h"

#include <algorithm>
#include <cctype>

namespace larder::manual {
namespace {

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string bold(std::string_view text) { return "\\fB" + roff_text(text) + "\\fR"; }

std::string heading(const char* macro, const std::string& title) {
  return std::string(macro) + " \"" + roff_text(title) + "\"\n";
}

std::string entry_text(const Entry& entry) {
  std::string out = ".TP\n";
  for (const std::string& name : entry.names) {
    if (&name != &entry.names.front()) out += ", ";
    out += bold(name);
  }
  if (!entry.argument.empty()) {
    const std::string& last = entry.names.back();
    const bool behind_blank = last.starts_with('-') && !last.starts_with("--");
    out += behind_blank ? " " : "=";
    out += "\\fI" + roff_text(entry.argument) + "\\fR";
  }
  return out + "\n" + roff_text(entry.help) + "\n";
}

std::string section_text(const char* macro, const Section& section) {
  std::string out =
      heading(macro, macro == std::string_view(".SH") ? upper(section.title) : section.title);
  for (const std::string& paragraph : section.paragraphs) {
    if (&paragraph != &section.paragraphs.front()) out += ".PP\n";
    out += roff_text(paragraph) + "\n";
  }
  for (const Entry& entry : section.entries) out += entry_text(entry);
  return out;
}

}  // namespace

std::string roff_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '"':  // also within a macro's arguments
        out += "\\(dq";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      case '.':  // a request, where it begins a line
        out += out.empty() ? "\\&." : ".";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string man_page(const Manual& manual, std::string_view date) {
  std::string out = ".TH " + roff_text(upper(manual.program)) + " 1 \"" + std::string(date) +
                    "\" \"larder " + manual.version + "\" \"User Commands\"\n.nh\n.ad l\n";
  out += ".SH NAME\n" + roff_text(manual.program) + " \\- " + roff_text(manual.summary) + "\n";
  out += ".SH SYNOPSIS\n";
  for (const std::string& line : manual.synopsis) {
    if (&line != &manual.synopsis.front()) out += ".br\n";
    out += bold(manual.program) + " " + roff_text(line) + "\n";
  }
  out += section_text(".SH", {"Description", manual.description, {}});
  for (const Command& command : manual.commands) {
    out += command.name.empty() ? heading(".SH", "OPTIONS")
                                : heading(".SH", upper(manual.program + " " + command.name));
    if (!command.help.empty()) out += roff_text(command.help) + "\n";
    for (const Section& section : command.sections) {
      out += section_text(".SS", section);
    }
  }
  if (!manual.list.entries.empty()) out += section_text(".SH", manual.list);
  for (const Section& section : manual.closing) out += section_text(".SH", section);
  return out;
}

}  // namespace larder::manual
