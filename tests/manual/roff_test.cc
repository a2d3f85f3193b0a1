#include "tools/manual/roff.h"

#include <catch2/catch.hpp>

namespace larder::manual {
namespace {

TEST_CASE("text stands on the page as it is, whatever it begins with") {
  CHECK(roff_text("plain") == "plain");
  CHECK(roff_text(".so file") == "\\&.so file");
  CHECK(roff_text("a.b") == "a.b");
  CHECK(roff_text("'x' \"y\"") == "\\(aqx\\(aq \\(dqy\\(dq");
  CHECK(roff_text("-p\\n") == "\\-p\\en");
  CHECK(roff_text("~^`") == "\\(ti\\(ha\\(ga");
}

TEST_CASE("an option is a tagged paragraph; a value stands behind its last name") {
  Manual manual;
  manual.program = "prog-x";
  manual.version = "1.2";
  manual.summary = "does things";
  manual.synopsis = {"[option ...]", "sub"};
  manual.description = {"First.", "Second."};
  manual.commands = {
      {"",
       "",
       {{"Some",
         {},
         {{{"-p", "--port"}, "num", "a port"}, {{"-D"}, "char", ""}, {{"-v"}, "", "more"}}}}},
      {"sub", "of it", {}}};
  manual.list = {"List", {"About it."}, {{{"size"}, "value", "bytes"}}};
  manual.closing = {{"Files", {"None."}, {}}};
  CHECK(man_page(manual, "2024-12-31") ==
        ".TH PROG\\-X 1 \"2024-12-31\" \"larder 1.2\" \"User Commands\"\n.nh\n.ad l\n"
        ".SH NAME\nprog\\-x \\- does things\n"
        ".SH SYNOPSIS\n\\fBprog\\-x\\fR [option ...]\n.br\n\\fBprog\\-x\\fR sub\n"
        ".SH \"DESCRIPTION\"\nFirst.\n.PP\nSecond.\n"
        ".SH \"OPTIONS\"\n"
        ".SS \"Some\"\n"
        ".TP\n\\fB\\-p\\fR, \\fB\\-\\-port\\fR=\\fInum\\fR\na port\n"
        ".TP\n\\fB\\-D\\fR \\fIchar\\fR\n\n"
        ".TP\n\\fB\\-v\\fR\nmore\n"
        ".SH \"PROG\\-X SUB\"\nof it\n"
        ".SH \"LIST\"\nAbout it.\n"
        ".TP\n\\fBsize\\fR=\\fIvalue\\fR\nbytes\n"
        ".SH \"FILES\"\nNone.\n");
}

}  // namespace
}  // namespace larder::manual
