#!/usr/bin/env python3
"""The checkers of tools/ on tiny trees: good ones pass, and each fault is reported by name.

A checker that cannot fail checks nothing.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools")


class Tree(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.root = os.path.realpath(self.tmp.name)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
        return full

    def run_tool(self, name, *args):
        result = subprocess.run(
            [sys.executable, os.path.join(TOOLS, name)] + list(args),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout

    def passes(self, name, *args):
        self.assertEqual(self.run_tool(name, *args), (0, ""))

    def fails(self, want, name, *args):
        """One fault and no other: the wanted text is on the only line."""
        code, out = self.run_tool(name, *args)
        self.assertEqual(code, 1)
        self.assertIn(want, out)
        return out


class Floors(Tree):
    def good(self):
        self.write("src/base/mem.c", "#define WR_MEM_IMPLEMENTATION\n#include <stdlib.h>\n")
        self.write("src/base/a.h", '/* "x.db-wal" in a comment, // "-shm" too */\n')
        self.write("src/sqlite/b.c", '#include <sqlite3.h>\nconst char *n = "-wal";\n')
        self.write("src/engine/c.c", '#include "sqlite/b.h"\n#include "base/a.h"\n')
        self.write("src/engine/place_check.c", 'const char *n = "-shm";\n')
        self.write("src/cli/d.c", '#include <weir.h>\nconst char *n = "x.db-wal is left";\n')
        self.write("src/api/e.c", '#include "weir.h"\nconst char *n = "max-wal-bytes";\n')

    def one_fault(self, path, text, want):
        self.good()
        self.passes("floors.py", self.root)
        self.write(path, text)
        self.assertEqual(self.fails(want, "floors.py", self.root).count("\n"), 1)

    def test_pointing_down(self):
        want = 'base/x.c:2: base must not see "engine/c.h"'
        self.one_fault("src/base/x.c", '\n#include "engine/c.h"\n', want)

    def test_skipping_the_api(self):
        self.one_fault("src/cli/x.c", '#include "engine/c.h"\n', "cli must not see")

    def test_angle_brackets_do_not_help(self):
        self.one_fault("src/ltx/x.h", "# include <net/http.h>\n", "ltx must not see")

    def test_public_header_below(self):
        self.one_fault("src/engine/x.c", "#include <weir.h>\n", "below the public header")

    def test_sqlite_elsewhere(self):
        self.one_fault("src/engine/x.c", "#include <sqlite3.h>\n", "only src/sqlite includes")

    def test_sqlite_of_the_host(self):
        self.write("src/vfs/host.h", "#include <sqlite3ext.h>\n")
        self.one_fault("src/vfs/x.c", "#include <sqlite3ext.h>\n", "only src/vfs/host.h includes")

    def test_sqlite_in_the_extension(self):
        self.one_fault("src/vfs/x.c", '#include "sqlite/b.h"\n', "vfs must not see")

    def test_sidecar_names(self):
        self.one_fault("src/engine/x.c", 'f("%s-wal");\n', "only src/sqlite makes the name")

    def test_sidecar_names_after_a_tricky_string(self):
        text = 'f("/*", \'"\', "-shm");\n'
        self.one_fault("src/base/x.c", text, "only src/sqlite makes the name")

    def test_heap(self):
        self.one_fault("src/base/x.c", "#define WR_MEM_IMPLEMENTATION\n", "C library's heap")

    def test_unknown_floor(self):
        self.one_fault("src/cellar/x.c", "int x;\n", "is no floor")

    def test_empty_tree(self):
        self.fails("no sources", "floors.py", self.root)


class Headers(Tree):
    def good(self):
        self.write("src/base/a.h", "#ifndef A\n#define A\nstruct a { int b; };\n#endif\n")
        self.write("src/base/b.h", '#pragma once\n#include "base/a.h"\nstruct a b(void);\n')
        self.write("include/weir.h", "#ifndef W\n#define W\nint weir_x(int y);\n#endif\n")

    def one_fault(self, path, text, want):
        self.good()
        self.passes("headers.py", self.root)
        self.write(path, text)
        self.fails(want, "headers.py", self.root)

    def test_needs_another(self):
        self.one_fault("src/base/c.h", "size_t c(void);\n", "base/c.h alone, as -std=c11")

    def test_no_guard(self):
        self.one_fault("src/base/c.h", "struct c { int d; };\n", "redefinition")

    def test_warning(self):
        body = "static inline int c(int a, unsigned b) { return a < b; }"
        text = "#ifndef C\n#define C\n" + body + "\n#endif\n"
        self.one_fault("src/base/c.h", text, "sign-compare")

    def test_public_not_c99(self):
        self.one_fault("include/weir.h", "_Static_assert(1, \"\");\n", "weir.h alone, as -std=c99")

    def test_public_not_cxx(self):
        self.one_fault("include/weir.h", "int weir_x(int new);\n", "weir.h alone, as -std=c++11")

    def test_empty_tree(self):
        self.fails("no headers", "headers.py", self.root)


class Symbols(Tree):
    def build(self, sources):
        commands = []
        for path, text in sources.items():
            full = self.write(path, text)
            obj = path.replace("/", "_") + ".o"
            subprocess.run(
                ["cc", "-c", "-fPIC", full, "-o", os.path.join(self.root, obj)], check=True
            )
            commands.append({"directory": self.root, "file": path, "output": obj})
        self.write("compile_commands.json", json.dumps(commands))

    GOOD = {
        "src/base/a.c": "int wr_a(void) { return 1; }\nint wr_b = 2;\nint weir_c = 3;\n",
        "src/cli/main.c": "int wr_a(void);\nint main(void) { return wr_a(); }\n",
        "test/t.c": "extern int wr_b;\nint t_helper(void) { return wr_b; }\n",
    }

    def one_fault(self, sources, want):
        self.build(self.GOOD)
        self.passes("symbols.py", self.root, self.root)
        self.build({**self.GOOD, **sources})
        self.assertEqual(self.fails(want, "symbols.py", self.root, self.root).count("\n"), 1)

    def test_foreign_prefix(self):
        self.one_fault(
            {"src/base/x.c": "int helper(void) { return 0; }\n"},
            "src/base/x.c: external symbol helper must start with wr_",
        )

    def test_nobody_uses(self):
        text = "int wr_x(void) { return 0; }\nint (*weir_y)(void) = wr_x;\n"
        self.one_fault({"src/base/x.c": text}, "src/base/x.c: nobody else uses wr_x")

    def test_nobody_uses_data(self):
        self.one_fault({"src/base/x.c": "const int wr_x = 1;\n"}, "nobody else uses wr_x")

    def test_missing_object(self):
        self.build(self.GOOD)
        os.remove(os.path.join(self.root, "src_base_a.c.o"))
        self.fails("src_base_a.c.o is not built", "symbols.py", self.root, self.root)

    def test_no_product(self):
        self.build({"test/t.c": "int t;\n"})
        self.fails("no objects", "symbols.py", self.root, self.root)

    def test_library_exports(self):
        self.build(self.GOOD)
        library = os.path.join(self.root, "libweir.so.0.1.0")
        obj = os.path.join(self.root, "src_base_a.c.o")
        subprocess.run(["cc", "-shared", "-Wl,-z,nodelete", obj, "-o", library], check=True)
        self.fails("libweir.so.0.1.0 exports wr_a", "symbols.py", self.root, self.root)
        os.makedirs(os.path.join(self.root, "test"), exist_ok=True)
        os.rename(library, os.path.join(self.root, "test", "libweir.so"))
        self.passes("symbols.py", self.root, self.root)

    def extension(self, more, *args):
        text = "int sqlite3_x_init(void);\nint sqlite3_x_init(void)\n{\n    return %s;\n}\n"
        source = self.write("x.c", more + text % ("sqlite3_open()" if more else "0"))
        library = os.path.join(self.root, "x.so")
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library, *args], check=True)

    def test_extension(self):
        self.build({**self.GOOD, "src/vfs/y.c": "int sqlite3_y_init(void) { return 0; }\n"})
        self.extension("", "-Wl,-z,nodelete")
        self.passes("symbols.py", self.root, self.root)
        self.extension("")
        self.fails("x.so can be unmapped", "symbols.py", self.root, self.root)
        self.extension("int sqlite3_open(void);\n", "-Wl,-z,nodelete")
        self.fails("x.so uses sqlite3_open", "symbols.py", self.root, self.root)


class Libraries(Tree):
    """Two libraries, made here, and programs that are linked with them or name them."""

    def setUp(self):
        super().setUp()
        for name in ("one", "two"):
            source = self.write(name + ".c", "int %s(void);\nint %s(void) { return 1; }\n" % (name, name))
            self.cc("-shared", "-fPIC", "-Wl,-soname,lib%s.so.1" % name, source, "-o", self.at("lib%s.so" % name))
        self.linked = self.program("linked", "", "-Wl,--no-as-needed", "-L" + self.root, "-lone", "-ltwo")
        self.lazy = self.program("lazy", 'const char *a = "libone.so.1", *b = "libtwo.so.1";\n')

    def at(self, name):
        return os.path.join(self.root, name)

    def cc(self, *args):
        subprocess.run(["cc", *args], check=True)

    def program(self, name, text, *args):
        self.cc(self.write(name + ".c", text + "int main(void) { return 0; }\n"), "-o", self.at(name), *args)
        return self.at(name)

    def test_good(self):
        self.passes("libraries.py", self.lazy, self.linked, self.lazy)

    def test_another_name(self):
        other = self.program("other", 'const char *a = "libone.so.1", *b = "libtwo.so.2";\n')
        self.fails("other does not know libtwo.so.1", "libraries.py", other, self.linked)

    def test_linked_all_the_same(self):
        both = ("-Wl,--no-as-needed", "-L" + self.root, "-lone")
        other = self.program("other", "", *both)
        self.fails("other is linked with libone.so.1", "libraries.py", self.lazy, self.linked, other)

    def test_linked_with_nothing(self):
        self.fails("is linked with nothing", "libraries.py", self.lazy, self.program("none", ""))


class Coverage(Tree):
    """Real counters of tiny programs. Each folder of the gate has a file that is reached."""

    A_H = (
        "static inline int wr_sign(int x)\n"
        "{\n"
        "    if (x < 0)\n"
        "        return -1;\n"
        "    return x > 0;\n"
        "}\n"
    )
    A_C = '#include "a.h"\nint wr_a(int x);\nint wr_a(int x)\n{\n    return wr_sign(x);\n}\n'

    MAIN = (
        '#include "base/a.h"\n'
        "int wr_a(int x);\n"
        "int wr_ltx(void), wr_sqlite(void), wr_storage(void), wr_engine(void);\n"
        "int main(void)\n"
        "{\n"
        "    return wr_ltx() + wr_sqlite() + wr_storage() + wr_engine() + (%s);\n"
        "}\n"
    )

    def go(self, *values, a_c=A_C):
        """Judge after a program for each of the values of 0, which are C, has run."""
        sources = [self.write("src/base/a.c", a_c)]
        self.write("src/base/a.h", self.A_H)
        for floor in ("ltx", "sqlite", "storage", "engine"):
            text = "int wr_%s(void);\nint wr_%s(void)\n{\n    return 0;\n}\n" % (floor, floor)
            sources.append(self.write("src/%s/%s.c" % (floor, floor), text))
        for i, value in enumerate(values):
            main = self.write("test/t%d.c" % i, self.MAIN % value)
            out = os.path.join(self.root, "build%d" % i)
            os.makedirs(out)
            command = ["gcc", "--coverage", "-I", os.path.join(self.root, "src"), "-o", "t", main]
            subprocess.run(command + sources, cwd=out, check=True)
            subprocess.run(["./t"], cwd=out, check=True)
        return self.again("--last")

    def again(self, *args):
        return self.run_tool("coverage", "--root", self.root, "--build", self.root, *args)

    def lines_of(self, path):
        code, out = self.again("--lines", os.path.join(self.root, path))
        self.assertEqual(code, 0)
        return out

    def test_all_is_reached(self):
        code, out = self.go("wr_a(-1) + wr_a(1) + wr_a(0)")
        self.assertEqual((code, out.count("\n")), (0, 1))
        self.assertIn("100.0 % of the lines", out)
        self.assertIn("src/base/a.h", self.again("--last", "-v")[1])

    def test_programs_add_up(self):
        self.assertEqual(self.go("wr_a(-1) + 1", "wr_a(0)")[0], 0)
        self.assertEqual(self.lines_of("src/base/a.h"), "")

    def test_units_add_up(self):
        """A header's function is compiled into each source that calls it."""
        self.assertEqual(self.go("wr_a(-1) + 1 + wr_sign(0)")[0], 0)

    def test_missed(self):
        code, out = self.go("wr_a(0)")
        self.assertEqual(code, 1)
        self.assertIn("src/base: 83.3 % of the lines are covered, 95 are asked for", out)
        self.assertIn("src/base: 50.0 % of the branches are covered, 90 are asked for", out)
        self.assertNotIn("src/ltx:", out)
        self.assertEqual(
            self.lines_of("src/base/a.h"),
            "src/base/a.h:3:   1/2     if (x < 0)\nsrc/base/a.h:4:     #         return -1;\n",
        )

    def test_file_that_no_test_reaches(self):
        """An object that no program is linked with has notes, but no counters."""
        self.assertEqual(self.go("wr_a(-1) + 1", "wr_a(0)")[0], 0)
        other = self.write("src/base/b.c", "int wr_b(int x);\nint wr_b(int x)\n{\n    return x;\n}\n")
        subprocess.run(["gcc", "--coverage", "-c", other], cwd=self.root, check=True)
        code, out = self.again("--last")
        self.assertEqual(code, 1)
        self.assertIn("src/base: 75.0 % of the lines", out)

    MARKED = (
        "int wr_a(int x);\n"
        "int wr_a(int x)\n"
        "{\n"
        "    if (x > 9) { /* uncovered:%s */\n"
        "        x--;\n"
        "\n"
        "        return x > 99 ? 2 : 3;\n"
        "    }\n"
        "    return x < 0 ? -5 : 3;\n"
        "}\n"
    )

    def test_marked(self):
        value = "wr_a(-1) + wr_a(0) + wr_sign(-1) + wr_sign(1) + 2"
        code, out = self.go(value, a_c=self.MARKED % " only on a Tuesday")
        self.assertEqual((code, out.count("\n")), (0, 1))

    def test_mark_ends_with_its_block(self):
        self.go("wr_a(0) - 3", a_c=self.MARKED % " only on a Tuesday")
        want = "src/base/a.c:9:   1/2     return x < 0 ? -5 : 3;\n"
        self.assertEqual(self.lines_of("src/base/a.c"), want)

    def test_mark_without_a_reason(self):
        code, out = self.go("wr_a(0) - 3", a_c=self.MARKED % "")
        self.assertEqual(code, 1)
        self.assertIn("src/base/a.c:4: not counted, for no reason", out)

    def test_mark_of_what_is_reached(self):
        value = "wr_a(101) + wr_a(10) + wr_a(-1) + wr_a(0) - 3"
        code, out = self.go(value, a_c=self.MARKED % " never")
        self.assertEqual(code, 1)
        self.assertIn("src/base/a.c:4: is said to be uncovered, but is not", out)

    def test_nothing_was_built(self):
        code, out = self.again("--last")
        self.assertEqual(code, 1)
        self.assertIn("no objects", out)

    def test_folder_without_lines(self):
        self.write("src/base/b.c", "int wr_b(void);\nint wr_b(void)\n{\n    return 1;\n}\n")
        other = os.path.join(self.root, "src/base/b.c")
        subprocess.run(["gcc", "--coverage", "-c", other], cwd=self.root, check=True)
        code, out = self.again("--last")
        self.assertEqual(code, 1)
        self.assertIn("src/ltx: no lines were counted", out)


class Manuals(Tree):
    """With a mandoc that only minds the word TYPO."""

    WEIR = ".Dt WEIR 1\n.Nm weir\n.Sh COMMANDS\n.Ss weir go, stop\n.It Fl now , Fl at Ar TIME\n.Xr weir.yml 5\n"
    YML = ".Dt WEIR.YML 5\n.Nm weir.yml\n.Sh KEYS\n.It Ic dbs , log.level\n.Sx KEYS .\n"
    KEYS = (
        "const struct wr_key wr_config_top_keys[] = {\n"
        '    {.name = "dbs", .use = WR_KEY_READ},\n'
        '    {.name = "log", .use = WR_KEY_READ},\n'
        '    {.name = "token",\n        .use = WR_KEY_FOR_NATS},\n    {0},\n};\n'
        "static const struct wr_key log_keys[] = {\n"
        '    {.name = "level", .use = WR_KEY_READ},\n%s    {0},\n};\n'
    )
    PROGRAM = (
        "#!/bin/sh\n[ $1 = help ] && printf '  go    starts\\n  stop  stops\\n  help  this\\n'\n"
        "[ $1 = go ] && printf '  -now      at once\\n  -at TIME  then\\n'\nexit 0\n"
    )
    MANDOC = (
        "#!/bin/sh\nshift 2\ngrep -l TYPO \"$@\"\n"
        "echo mandoc: outdated mandoc.db lacks sh'(1)' entry\n"
    )

    def good(self):
        for name, text in (("bin/mandoc", self.MANDOC), ("weir", self.PROGRAM)):
            os.chmod(self.write(name, text), 0o755)
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        os.environ["PATH"] = os.path.join(self.root, "bin") + os.pathsep + path
        self.write("docs/man/weir.1", self.WEIR)
        self.write("docs/man/weir.yml.5", self.YML)
        self.write("src/daemon/config_x.c", self.KEYS % "")

    def one_fault(self, path, text, want):
        self.good()
        self.passes("manuals.py", self.root, os.path.join(self.root, "weir"))
        self.write(path, text)
        out = self.fails(want, "manuals.py", self.root, os.path.join(self.root, "weir"))
        self.assertEqual(out.count("\n"), 1, out)

    def test_lint(self):
        self.one_fault("docs/man/weir.1", self.WEIR + "TYPO\n", "docs/man/weir.1")

    def test_other_page(self):
        self.one_fault("docs/man/weir.1", self.WEIR + ".Xr weir-x 7 .\n", "weir.1:7: there is no page weir-x(7)")

    def test_other_section(self):
        self.one_fault("docs/man/weir.yml.5", self.YML + ".Sx LOCKS ) .\n", "there is no section LOCKS")

    def test_name(self):
        self.one_fault("docs/man/weir.1", self.WEIR.replace(".Dt WEIR", ".Dt WIRE"), "is not called weir(1)")

    def test_command(self):
        self.one_fault("docs/man/weir.1", self.WEIR.replace("go, stop", "go"), "there is no section weir stop")

    def test_flag(self):
        self.one_fault("docs/man/weir.1", self.WEIR.replace("now , ", ""), "weir go has no flag -now")

    def test_key(self):
        self.one_fault("docs/man/weir.yml.5", self.YML.replace("dbs , ", ""), "there is no key dbs")

    def test_key_of_a_mapping(self):
        text = self.KEYS % '    {.name = "source", .use = WR_KEY_IDLE, .why = ""},\n'
        self.one_fault("src/daemon/config_x.c", text, "there is no key log.source")

    def test_no_tables(self):
        self.one_fault("src/daemon/config_x.c", "", "there are no keys")

    def test_no_commands(self):
        self.one_fault("weir", "#!/bin/sh\n", "tells of no commands")


class Tally(Tree):
    """The logs of Meson that ./check sums up."""

    def log(self, name, *results):
        lines = [json.dumps({"name": "t", "result": r, "stdout": "", "returncode": r != "OK"}) for r in results]
        return self.write(name, "\n".join(lines))

    def test_logs_add_up(self):
        code, out = self.run_tool("tally.py", self.log("a", "OK", "OK"), self.log("b", "OK"))
        self.assertEqual((code, out), (0, "3 passed, 0 failed\n"))

    def test_each_log_can_fail(self):
        code, out = self.run_tool("tally.py", self.log("a", "OK", "OK"), self.log("b", "FAIL"))
        self.assertEqual((code, out.splitlines()[-1]), (1, "2 passed, 1 failed"))

    def test_a_part_that_did_not_run(self):
        code, out = self.run_tool("tally.py", self.log("a", "OK", "OK"), os.path.join(self.root, "b"))
        self.assertEqual((code, out.splitlines()[-1]), (1, "2 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
