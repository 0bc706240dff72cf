"""What `weir completion` prints, in the shells that it is for.

usage: completion.py WEIR

bash is there always; zsh and fish where they are installed, and it is said where not. What should
be completed is taken from the help texts, not from the table that both are made of.
"""
import os
import re
import shutil
import subprocess
import sys

import kit

FLAG = re.compile(r"^  -([a-z0-9-]+) ", re.M)
COMMAND = re.compile(r"^  ([a-z]+) +\S", re.M)


def run(args, **more):
    return subprocess.run(args, capture_output=True, text=True, timeout=60, **more)


def help_of(exe, *command):
    return run([exe, "help", *command]).stdout


class Bash:
    """The completion function, called as bash calls it."""

    def __init__(self, found, script):
        self.found, self.script = found, script

    def complete(self, *words):
        quoted = " ".join("'%s'" % w for w in words)
        text = ("source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _weir_complete; "
                "printf '%%s\\n' \"${COMPREPLY[@]}\"" % (self.script, quoted, len(words) - 1))
        r = run(["bash", "-uc", text])
        self.found.check(r.returncode == 0 and not r.stderr, "bash %r: %s" % (words, r.stderr))
        return r.stdout.split()


def commands_of(exe):
    """Those that the help lists, with their flags."""
    listed = help_of(exe).split("Example:")[0].split("Commands:")[1]
    names = COMMAND.findall(listed)
    return {name: FLAG.findall(help_of(exe, name)) for name in names if name != "help"}


def check_bash(found, exe, program, script, commands):
    found.check(run(["bash", "-n", script]).returncode == 0, "bash does not read its script")
    bash = Bash(found, script)
    found.check(sorted(bash.complete(program, "")) == sorted([*commands, "help"]), "commands in bash")
    found.check(bash.complete(program, "unr") == ["unregister"], "unr in bash")
    for name, flags in commands.items():
        got = bash.complete(program, name, "-")
        found.check(sorted(got) == sorted(["-" + f for f in flags] + ["-help"]),
                    "flags of %s in bash: %s" % (name, got))
    found.check(bash.complete(program, "wal", "-lev") == ["-level"], "wal in bash")
    found.check(bash.complete(program, "ltx", "-level", "a") == ["all"], "-level in bash")
    found.check(bash.complete(program, "restore", "--integrity-check", "") == ["none", "quick", "full"], "--integrity-check")
    found.check(bash.complete(program, "list", "-timeout", "") == [], "-timeout in bash")
    found.check(bash.complete(program, "restore", "-o", "/et") == [], "files are bash's own business")
    found.check(bash.complete(program, "help", "sta") == ["status", "start"], "help in bash")
    found.check(bash.complete(program, "bogus", "-") == [], "a command that is none")
    found.check(bash.complete(program, "run", "-ready-timeout", "1s", "--", "ls", "-") == [], "another's flags")
    r = run(["bash", "-c", "source %s; complete -p %s" % (script, program)])
    found.check("-F _weir_complete " + program in r.stdout, "not registered: " + r.stdout + r.stderr)


def check_zsh(found, program, script, commands):
    found.check(run(["zsh", "-n", script]).returncode == 0, "zsh does not read its script")
    # _describe and _arguments are said to be given what they are.
    stub = ("compdef() { print -r -- compdef $@ }; _describe() { print -rl -- ${(P)2} }; "
            "_arguments() { print -rl -- $@ }; source %s; words=(%s); CURRENT=%d; _weir")
    r = run(["zsh", "-fc", stub % (script, program + " ''", 2)])
    found.check(r.stdout.startswith("compdef _weir " + program), "not registered: " + r.stdout + r.stderr)
    for name in commands:
        found.check("\n%s:" % name in r.stdout, "zsh lacks " + name)
    for name, flags in commands.items():
        r = run(["zsh", "-fc", stub % (script, "%s %s ''" % (program, name), 3)])
        for flag in flags:
            found.check("\n-%s[" % flag in r.stdout or "\n*-%s[" % flag in r.stdout, "zsh lacks %s -%s: %s" % (name, flag, r.stderr))


def check_fish(found, program, script, commands):
    found.check(run(["fish", "-n", script]).returncode == 0, "fish does not read its script")
    home = found.path("home")
    os.makedirs(home, exist_ok=True)

    def complete(text):
        r = run(["fish", "-c", "source %s; complete -C '%s'" % (script, text)],
                env=dict(os.environ, HOME=home, XDG_CONFIG_HOME=home))
        found.check(r.returncode == 0 and not r.stderr, "fish %r: %s" % (text, r.stderr))
        return [line.split("\t")[0] for line in r.stdout.splitlines()]
    found.check(sorted(complete(program + " ")) == sorted([*commands, "help"]), "commands in fish")
    for name, flags in commands.items():
        got = complete("%s %s -" % (program, name))
        found.check(set("-" + f for f in flags) <= set(got), "flags of %s in fish: %s" % (name, got))
    found.check("all" in complete(program + " ltx -level "), "-level in fish")


def main():
    exe = os.path.abspath(sys.argv[1])
    found = kit.Findings("completion")
    link = found.path("litestream")
    os.symlink(exe, link)
    commands = commands_of(exe)
    found.check(len(commands) >= 18, "too few commands: %s" % sorted(commands))
    for program, path in (("weir", exe), ("litestream", link)):
        for shell in ("bash", "zsh", "fish"):
            script = found.path(program + "." + shell)
            r = run([path, "completion", shell])
            found.check(r.returncode == 0 and not r.stderr, "%s: %s" % (shell, r.stderr))
            with open(script, "w", encoding="utf-8") as f:
                f.write(r.stdout)
            if not shutil.which(shell):
                print("not installed, so not tried: " + shell)
            elif shell == "bash":
                check_bash(found, exe, program, script, commands)
            elif shell == "zsh":
                check_zsh(found, program, script, commands)
            else:
                check_fish(found, program, script, commands)
    for args in ((), ("tcsh",), ("bash", "zsh")):
        r = run([exe, "completion", *args])
        found.check(r.returncode == 1 and not r.stdout and "bash, zsh or fish" in r.stderr, "usage: %s" % (args,))
    odd = found.path("we ir")
    os.symlink(exe, odd)
    found.check("complete -o default -F _weir_complete weir\n" in run([odd, "completion", "bash"]).stdout, "an odd name")
    sys.exit(found.end())


main()
